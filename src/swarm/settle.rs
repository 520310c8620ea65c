//! Waiting until tasks are as a spec asks: Swarm reports no task events, so they are polled.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::DockerSwarm;
use super::error::SwarmError;
use super::node;
use super::service::{Service, template};
use super::task::RawTask;
use crate::docker::Error;
use crate::model::{ServiceName, TaskState, labels};

/// A task list takes the engine 6 ms; tasks stop in 100 ms or more.
const POLL: Duration = Duration::from_millis(30);

/// Tasks that do not end this long after their grace period hang.
const SLACK: Duration = Duration::from_secs(60);

/// Swarm's own grace period for a container that is asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How long tasks of a spec that was put back may take to run again before it is left to Swarm.
const RESUME: Duration = Duration::from_secs(60);

/// A node that went down takes its tasks with it; looked at when they take longer than usual.
const DOUBT: Duration = Duration::from_secs(2);

impl DockerSwarm {
    /// Wait until no task of the removed service `name` runs any more. `id` is its id if it is
    /// known; after a crash it is not, and its tasks are found by their labels.
    pub(super) async fn gone(&self, name: &str, id: Option<&str>) -> Result<(), SwarmError> {
        let all: Vec<RawTask> = self.client.get("/tasks").value().await?;
        let of_it = |task: &RawTask| Some(task.service.as_str()) == id || made_for(task, name);
        let alive = all.into_iter().filter(|task| of_it(task) && task.is_alive());
        self.stopped(alive.collect()).await
    }

    /// Wait until `service` has no task that it does not want, and those that it wants run or are
    /// being tried again by Swarm.
    pub(super) async fn settled(&self, name: &str, service: &Service) -> Result<(), SwarmError> {
        let begun = Instant::now();
        loop {
            let tasks = self.raw_tasks(name).await?;
            let (keep, leave): (Vec<_>, Vec<_>) = tasks
                .into_iter()
                .partition(|task| task.is_wanted() && task.is_made_from(template(&service.spec)));
            let leaving: Vec<_> = leave.into_iter().filter(RawTask::is_alive).collect();
            if !leaving.is_empty() {
                self.stopped(leaving).await?;
            }
            if resumed(&keep, replicas(&service.spec)) {
                return Ok(());
            }
            if begun.elapsed() > RESUME {
                tracing::warn!(service = name, "its tasks do not run yet; left to the Swarm");
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    /// Wait until all of `tasks` have ended, or their nodes have.
    async fn stopped(&self, mut tasks: Vec<RawTask>) -> Result<(), SwarmError> {
        let limit = tasks.iter().map(grace).max().unwrap_or_default() + SLACK;
        let begun = Instant::now();
        let mut doubted = begun;
        while !tasks.is_empty() {
            if begun.elapsed() > limit {
                let tasks = tasks.iter().map(describe).collect();
                return Err(SwarmError::Hang { tasks, limit });
            }
            if doubted.elapsed() > DOUBT {
                doubted = Instant::now();
                let nodes = node::list(&self.client).await?;
                let up = |id: &str| nodes.iter().any(|node| node.id == id && node.ready);
                tasks.retain(|task| task.node.is_empty() || up(&task.node));
            }
            let mut alive = Vec::new();
            for task in tasks {
                alive.extend(self.task(&task.id).await?.filter(RawTask::is_alive));
            }
            tasks = alive;
            if !tasks.is_empty() {
                sleep(POLL).await;
            }
        }
        Ok(())
    }

    async fn task(&self, id: &str) -> Result<Option<RawTask>, Error> {
        match self.client.get(format!("/tasks/{id}")).value().await {
            Ok(task) => Ok(Some(task)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// As many run as asked for; or one has ended already, and Swarm goes on trying.
fn resumed(tasks: &[RawTask], replicas: u64) -> bool {
    let running = tasks.iter().filter(|task| task.state() == TaskState::Running);
    let failed = tasks.iter().any(|task| task.state() == TaskState::Failed);
    failed || running.count() as u64 >= replicas
}

fn replicas(spec: &Value) -> u64 {
    let replicas = spec.pointer("/Mode/Replicated/Replicas");
    replicas.and_then(Value::as_u64).unwrap_or(0)
}

/// The labels on its container say that `task` was made for the Swarm service `name`.
fn made_for(task: &RawTask, name: &str) -> bool {
    let label = |label: &str| {
        let labels = task.spec.pointer("/ContainerSpec/Labels")?;
        labels.get(label)?.as_str()
    };
    let of = |service: &str, colour: &str| {
        let service: ServiceName = service.parse().ok()?;
        Some(service.swarm_name(colour.parse().ok()?) == name)
    };
    let made_for = label(labels::SERVICE)
        .zip(label(labels::COLOUR))
        .and_then(|(service, colour)| of(service, colour));
    made_for.unwrap_or(false)
}

fn grace(task: &RawTask) -> Duration {
    let nanos = task.spec.pointer("/ContainerSpec/StopGracePeriod");
    nanos.and_then(Value::as_u64).map_or(GRACE, Duration::from_nanos)
}

fn describe(task: &RawTask) -> String {
    format!("task `{}` on node `{}` is {}", task.id, task.node, task.status.state)
}
