use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::patience::Patience;
use super::{Context, failed, stopped};
use crate::deploy::health::{describe, fallen, serving, short};
use crate::deploy::ports::{Answers, Origin, PortResult, PortWanted};
use crate::deploy::record::{Prepared, StepResult};
use crate::model::{Bake, Failure, FailureKind, Step, Task};

/// How often the new colour is looked at while it bakes.
const LOOK: Duration = Duration::from_millis(250);

/// Last lines of an instance's log that are shown.
const TAIL: usize = 20;

/// Watch the new colour under public traffic.
pub async fn bake(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Bake)?;
    let Some(bake) = &prepared.release.policy.bake else { return Ok(StepResult::Nothing) };
    let limit = humantime::format_duration(bake.duration);
    context.note(Step::Bake, format!("watching `{}` for {limit}", prepared.colour));
    let end = Instant::now() + bake.duration;
    let mut watched = Watched::new(context, prepared);
    let mut waits = false;
    loop {
        let last = Instant::now() >= end;
        let well = watched.look(bake).await?;
        if last && well {
            return Ok(StepResult::Nothing);
        }
        if last && !waits {
            waits = true;
            let unwell = "do not all run, or not all of them could be seen";
            context.note(Step::Bake, format!("the instances of `{}` {unwell}", prepared.colour));
        }
        let pause = if last { LOOK } else { LOOK.min(end - Instant::now()) };
        tokio::select! {
            biased;
            () = context.stop.cancelled() => return Err(stopped(Step::Bake)),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The new colour, since it got the traffic.
struct Watched<'a> {
    context: &'a Context,
    prepared: &'a Prepared,
    /// Tasks that got the traffic. Those that ended before the switch were followed, and say nothing
    /// about what serves since.
    served: BTreeSet<String>,
    /// The answers that had come when the watch began.
    before: Option<Answers>,
    swarm: Patience,
    proxies: Patience,
}

impl<'a> Watched<'a> {
    fn new(context: &'a Context, prepared: &'a Prepared) -> Self {
        let served = context.state.instances().iter().map(|instance| instance.task.clone());
        let (swarm, proxies) = (Patience::default(), Patience::default());
        Self { context, prepared, served: served.collect(), before: None, swarm, proxies }
    }

    /// Look once; false when not all could be seen, or not all replicas run: those of a node that is
    /// lost are replaced, and until then it is not known whether they can be.
    async fn look(&mut self, bake: &Bake) -> Result<bool, Failure> {
        let bad = |error| failed(Step::Bake, &error);
        let (tasks, answers) = tokio::join!(self.tasks(), self.answers());
        let (tasks, answers) = (self.swarm.with(tasks), self.proxies.with(answers));
        let (tasks, answers) = (tasks.map_err(bad)?, answers.map_err(bad)?);
        let mut well = answers.is_some();
        match tasks {
            Some(tasks) => well &= self.check_tasks(&tasks).await?,
            None => well = false,
        }
        if let Some(answers) = answers {
            check_answers(bake, *self.before.get_or_insert(answers), answers)?;
        }
        Ok(well)
    }

    async fn tasks(&self) -> PortResult<Vec<Task>> {
        let name = self.prepared.release.service.swarm_name(self.prepared.colour);
        let port = PortWanted::of(&self.prepared.release.policy);
        self.context.world.swarm.tasks(&name, port).await
    }

    async fn answers(&self) -> PortResult<Answers> {
        let service = &self.prepared.release.service;
        let answers = self.context.world.proxies.answers(service, self.prepared.colour).await;
        answers.map_err(|error| error.of(Origin::Proxy))
    }

    /// Whether all replicas run.
    async fn check_tasks(&mut self, tasks: &[Task]) -> Result<bool, Failure> {
        let name = self.prepared.release.service.swarm_name(self.prepared.colour);
        if let Some(task) = fallen(tasks, &self.served) {
            let tail = self.context.world.swarm.tail(task, TAIL).await;
            let why = describe(task, tail.unhealthy.as_deref());
            let message = format!("an instance of `{name}` did not stay up: {why}");
            return Err(unwell(message, tail.lines));
        }
        let serve = tasks.iter().filter(|task| task.current).filter_map(serving);
        let serve: Vec<String> = serve.map(|instance| instance.task).collect();
        let (running, replicas) = (serve.len(), self.prepared.release.workload.replicas as usize);
        if running == 0 && replicas > 0 {
            // The public has nobody there, and may have the old colour.
            let message = format!("no instance of `{name}` runs any more");
            return Err(unwell(message, given_up(tasks, &self.served)));
        }
        self.served.extend(serve);
        Ok(running >= replicas)
    }
}

fn unwell(message: String, details: Vec<String>) -> Failure {
    Failure { step: Step::Bake, kind: FailureKind::PostGate, message, details, remedy: None }
}

/// Those of `tasks` that `served` and are to run no longer: with their node, they say what was lost.
fn given_up(tasks: &[Task], served: &BTreeSet<String>) -> Vec<String> {
    let gone = tasks.iter().filter(|task| served.contains(&task.id) && !task.wanted);
    gone.map(|task| format!("Swarm gave up task {} on node `{}`", short(&task.id), task.node))
        .collect()
}

fn check_answers(bake: &Bake, before: Answers, now: Answers) -> Result<(), Failure> {
    let total = now.total.saturating_sub(before.total);
    let errors = now.errors.saturating_sub(before.errors);
    #[allow(clippy::cast_precision_loss, reason = "counts of a few minutes' answers")]
    let share = errors as f64 / total.max(1) as f64;
    if total < bake.min_requests.max(1) || share <= bake.max_errors {
        return Ok(());
    }
    Err(Failure {
        step: Step::Bake,
        kind: FailureKind::PostGate,
        message: format!(
            "{errors} of {total} answers were 5xx ({:.1} %), more than the {:.1} % allowed",
            share * 100.0,
            bake.max_errors * 100.0
        ),
        details: Vec::new(),
        remedy: Some("see the new release's log for what it answered with 5xx".to_owned()),
    })
}
