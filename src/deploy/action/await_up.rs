use std::time::Duration;

use tokio::time::Instant;

use super::{Context, failed, stopped};
use crate::deploy::health::{Verdict, describe, judge};
use crate::deploy::ports::{PortError, PortWanted, Trouble};
use crate::deploy::record::{Prepared, StepResult};
use crate::model::{Failure, FailureKind, Instance, Step, Task};

/// Swarm has no task events, so tasks are polled; a look costs 6 to 7 ms.
const POLL: Duration = Duration::from_millis(25);

/// How long an engine that does not answer is put up with.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lines of a failed task's log that are shown.
const TAIL: usize = 20;

/// Wait until every replica runs, is healthy, and has been so for `stable_for`.
pub async fn await_up(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Await)?;
    let mut watched = Watched::default();
    loop {
        if let Some(instances) = watched.look(context, prepared).await? {
            return Ok(StepResult::Running { instances });
        }
        tokio::select! {
            () = context.stop.cancelled() => return Err(stopped(Step::Await)),
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

#[derive(Default)]
struct Watched {
    /// These instances have been up since then.
    up: Option<(Instant, Vec<Instance>)>,
    said: String,
    silent_since: Option<Instant>,
}

impl Watched {
    /// Look once; the instances when they are up and stable.
    async fn look(
        &mut self,
        context: &Context,
        prepared: &Prepared,
    ) -> Result<Option<Vec<Instance>>, Failure> {
        let Some(tasks) = self.ask(context, prepared).await? else { return Ok(None) };
        match judge(&tasks, prepared.release.workload.replicas) {
            Verdict::Down(task) => Err(came_down(context, prepared, &task).await),
            Verdict::Coming(words) => {
                self.up = None;
                if words != self.said {
                    context.note(Step::Await, words.clone());
                    self.said = words;
                }
                Ok(None)
            }
            Verdict::Up(instances) => Ok(self.settle(context, prepared, instances)),
        }
    }

    async fn ask(
        &mut self,
        context: &Context,
        prepared: &Prepared,
    ) -> Result<Option<Vec<Task>>, Failure> {
        let name = prepared.release.service.swarm_name(prepared.colour);
        let port = PortWanted::of(&prepared.release.policy);
        match context.world.swarm.tasks(&name, port).await {
            Ok(mut tasks) => {
                self.silent_since = None;
                if prepared.running {
                    // What this colour went through in its earlier life is no verdict on it now.
                    tasks.retain(|task| task.wanted);
                }
                Ok(Some(tasks))
            }
            Err(error) if self.bear_with(&error) => Ok(None),
            Err(error) => Err(failed(Step::Await, &error)),
        }
    }

    fn bear_with(&mut self, error: &PortError) -> bool {
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        error.trouble == Trouble::Unreachable && since.elapsed() < PATIENCE
    }

    fn settle(
        &mut self,
        context: &Context,
        prepared: &Prepared,
        instances: Vec<Instance>,
    ) -> Option<Vec<Instance>> {
        let needed =
            if prepared.running { Duration::ZERO } else { prepared.release.policy.stable_for };
        let since = match self.up.take() {
            Some((since, same)) if same == instances => since,
            _ => {
                let count = instances.len();
                let wait = humantime::format_duration(needed);
                context.note(Step::Await, format!("{count} running, must stay so for {wait}"));
                Instant::now()
            }
        };
        if since.elapsed() >= needed {
            return Some(instances);
        }
        self.up = Some((since, instances));
        None
    }
}

async fn came_down(context: &Context, prepared: &Prepared, task: &Task) -> Failure {
    let name = prepared.release.service.swarm_name(prepared.colour);
    let image = prepared.release.image.to_string();
    Failure {
        step: Step::Await,
        kind: FailureKind::Start,
        message: format!("`{name}` does not come up: {}", describe(task)),
        details: context.world.swarm.tail(task, TAIL).await,
        remedy: Some(format!("see why `{image}` does not stay up; its last lines are above")),
    }
}
