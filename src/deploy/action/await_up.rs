use std::time::Duration;

use tokio::time::Instant;

use super::patience::Patience;
use super::{Context, failed, stopped};
use crate::deploy::health::{Verdict, describe, judge};
use crate::deploy::ports::PortWanted;
use crate::deploy::record::{Prepared, StepResult};
use crate::model::{Failure, FailureKind, Instance, Step, Task, TaskState};

/// Swarm has no task events, so tasks are polled; a look costs 6 to 7 ms.
const POLL: Duration = Duration::from_millis(25);

/// Lines of a failed task's log that are shown.
const TAIL: usize = 20;

/// Wait until every replica runs, is healthy, and has been so for `stable_for`.
pub async fn await_up(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Await)?;
    let stable_for = prepared.release.policy.stable_for;
    let watched = match prepared.running {
        true => Watched::new(Step::Await, Duration::ZERO, Ends::OfTheWanted),
        false => Watched::new(Step::Await, stable_for, Ends::All),
    };
    let instances = watched.until_up(context, prepared).await?;
    Ok(StepResult::Running { instances })
}

/// Wait until every replica runs that was up once already: it may have moved meanwhile.
pub async fn await_again(context: &Context, step: Step) -> Result<Vec<Instance>, Failure> {
    Watched::new(step, Duration::ZERO, Ends::None).until_up(context, context.prepared(step)?).await
}

/// Which tasks that ended say that a colour does not come up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Every one: a new release that ends once is not waited for.
    All,
    /// Those that Swarm wants to run: what a colour went through earlier is no verdict on it now.
    OfTheWanted,
    /// None: Swarm replaces them.
    None,
}

impl Ends {
    fn count(self, task: &Task) -> bool {
        match self {
            Self::All => true,
            Self::OfTheWanted => task.wanted,
            Self::None => task.wanted && task.state != TaskState::Failed,
        }
    }
}

struct Watched {
    /// The step that waits.
    step: Step,
    /// How long they must have been up.
    stable_for: Duration,
    ends: Ends,
    /// These instances have been up since then.
    up: Option<(Instant, Vec<Instance>)>,
    said: String,
    patience: Patience,
}

impl Watched {
    fn new(step: Step, stable_for: Duration, ends: Ends) -> Self {
        Self {
            step,
            stable_for,
            ends,
            up: None,
            said: String::new(),
            patience: Patience::default(),
        }
    }

    async fn until_up(
        mut self,
        context: &Context,
        prepared: &Prepared,
    ) -> Result<Vec<Instance>, Failure> {
        loop {
            if let Some(instances) = self.look(context, prepared).await? {
                context.tries.see();
                return Ok(instances);
            }
            tokio::select! {
                biased;
                () = context.stop.cancelled() => return Err(stopped(self.step)),
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Look once; the instances when they are up and stable.
    async fn look(
        &mut self,
        context: &Context,
        prepared: &Prepared,
    ) -> Result<Option<Vec<Instance>>, Failure> {
        let Some(tasks) = self.ask(context, prepared).await? else { return Ok(None) };
        match judge(&tasks, prepared.release.workload.replicas) {
            Verdict::Down(task) => Err(self.came_down(context, prepared, &task).await),
            Verdict::Coming(words) => {
                self.up = None;
                if words != self.said {
                    context.note(self.step, words.clone());
                    self.said = words;
                }
                Ok(None)
            }
            Verdict::Up(instances) => Ok(self.settle(context, instances)),
        }
    }

    async fn ask(
        &mut self,
        context: &Context,
        prepared: &Prepared,
    ) -> Result<Option<Vec<Task>>, Failure> {
        let name = prepared.release.service.swarm_name(prepared.colour);
        let port = PortWanted::of(&prepared.release.policy);
        let tasks = self.patience.with(context.world.swarm.tasks(&name, port).await);
        let mut tasks = tasks.map_err(|error| failed(self.step, &error))?;
        tasks.iter_mut().for_each(|tasks| tasks.retain(|task| self.ends.count(task)));
        Ok(tasks)
    }

    fn settle(&mut self, context: &Context, instances: Vec<Instance>) -> Option<Vec<Instance>> {
        let since = match self.up.take() {
            Some((since, same)) if same == instances => since,
            _ => {
                if !self.stable_for.is_zero() {
                    let count = instances.len();
                    let wait = humantime::format_duration(self.stable_for);
                    context.note(self.step, format!("{count} running, must stay so for {wait}"));
                }
                Instant::now()
            }
        };
        if since.elapsed() >= self.stable_for {
            return Some(instances);
        }
        self.up = Some((since, instances));
        None
    }

    async fn came_down(&self, context: &Context, prepared: &Prepared, task: &Task) -> Failure {
        let name = prepared.release.service.swarm_name(prepared.colour);
        let image = prepared.release.image.to_string();
        let tail = context.world.swarm.tail(task, TAIL).await;
        let why = describe(task, tail.unhealthy.as_deref());
        Failure {
            step: self.step,
            kind: FailureKind::Start,
            message: format!("`{name}` does not come up: {why}"),
            details: tail.lines,
            remedy: Some(format!("see why `{image}` does not stay up; its last lines are above")),
        }
    }
}
