use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Context;
use super::patience::Patience;
use crate::deploy::ports::{PortResult, PortWanted, Sight, Swarm};
use crate::deploy::record::Prepared;
use crate::model::{Instance, Task};

/// Between two looks at an engine that does not answer.
const AGAIN: Duration = Duration::from_millis(250);

/// Sees the new colour as Swarm runs it now.
pub struct NewColour {
    swarm: Arc<dyn Swarm>,
    name: String,
    port: PortWanted,
}

impl NewColour {
    pub fn of(context: &Context, prepared: &Prepared) -> Self {
        Self {
            swarm: Arc::clone(&context.world.swarm),
            name: prepared.release.service.swarm_name(prepared.colour),
            port: PortWanted::of(&prepared.release.policy),
        }
    }
}

#[async_trait]
impl Sight for NewColour {
    async fn instances(&self) -> PortResult<Vec<Instance>> {
        let mut patience = Patience::default();
        loop {
            let tasks = self.swarm.tasks(&self.name, self.port.clone()).await;
            if let Some(tasks) = patience.with(tasks)? {
                return Ok(tasks.into_iter().filter_map(instance).collect());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// The instance of the new release that `task` is. One that is just being stopped answers still.
fn instance(task: Task) -> Option<Instance> {
    let address = task.address.filter(|_| task.current)?;
    Some(Instance { task: task.id, node: task.node, address })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};
    use std::sync::Mutex;

    use futures_util::stream::BoxStream;

    use super::*;
    use crate::deploy::ports::{BothColours, Found, PortError, SwarmSnapshot, Tail, Trouble};
    use crate::model::{
        Colour, DeploymentId, ImageRef, PinnedImage, Release, ServiceName, TaskState, Workload,
    };

    /// Answers with these, one after the other, when it is asked for tasks; nothing else is asked.
    struct Answers(Mutex<VecDeque<PortResult<Vec<Task>>>>);

    #[async_trait]
    impl Swarm for Answers {
        async fn tasks(&self, name: &str, port: PortWanted) -> PortResult<Vec<Task>> {
            assert_eq!((name, port), ("books-ms-green", PortWanted::Host(8080)));
            self.0.lock().unwrap().pop_front().expect("it is asked once more")
        }

        async fn resolve(&self, _: &ImageRef) -> PortResult<PinnedImage> {
            unreachable!()
        }

        async fn preflight(&self, _: &Workload) -> PortResult<Vec<String>> {
            unreachable!()
        }

        async fn snapshot(&self, _: &str) -> PortResult<Option<SwarmSnapshot>> {
            unreachable!()
        }

        async fn look(&self, _: &ServiceName) -> PortResult<BothColours> {
            unreachable!()
        }

        async fn look_among(
            &self,
            _: &ServiceName,
            _: &BTreeSet<String>,
        ) -> PortResult<BothColours> {
            unreachable!()
        }

        async fn start(&self, _: &Release, _: Colour, _: DeploymentId) -> PortResult<()> {
            unreachable!()
        }

        fn edits(&self, _: &Release, _: Colour, _: &SwarmSnapshot) -> Vec<String> {
            unreachable!()
        }

        async fn restore(&self, _: &str, _: Option<&SwarmSnapshot>) -> PortResult<()> {
            unreachable!()
        }

        async fn scale(&self, _: &str, _: u64) -> PortResult<()> {
            unreachable!()
        }

        async fn tail(&self, _: &Task, _: usize) -> Tail {
            unreachable!()
        }

        async fn services(&self) -> PortResult<Vec<(ServiceName, Colour, SwarmSnapshot)>> {
            unreachable!()
        }

        async fn survey(&self) -> PortResult<Vec<Found>> {
            unreachable!()
        }

        async fn events(&self) -> PortResult<BoxStream<'static, String>> {
            unreachable!()
        }
    }

    fn task(id: &str, current: bool, address: Option<&str>) -> Task {
        Task {
            id: id.to_owned(),
            slot: 1,
            node: "alpha".to_owned(),
            state: TaskState::Running,
            rejected: false,
            wanted: true,
            error: String::new(),
            exit_code: None,
            container: None,
            current,
            address: address.map(|address| address.parse().unwrap()),
        }
    }

    async fn seen(answers: Vec<PortResult<Vec<Task>>>) -> PortResult<Vec<String>> {
        let sight = NewColour {
            swarm: Arc::new(Answers(Mutex::new(answers.into()))),
            name: "books-ms-green".to_owned(),
            port: PortWanted::Host(8080),
        };
        Ok(sight.instances().await?.into_iter().map(|one| one.task).collect())
    }

    #[tokio::test]
    async fn what_runs_the_new_release_is_seen_though_it_is_being_replaced() {
        let leaving = Task { wanted: false, ..task("leaving", true, Some("10.0.0.3:32768")) };
        let tasks = vec![
            task("new", true, Some("10.0.0.2:32769")),
            task("of-another-spec", false, Some("10.0.0.4:32768")),
            task("ended", true, None),
            leaving,
        ];
        assert_eq!(seen(vec![Ok(tasks)]).await.unwrap(), ["new", "leaving"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_is_away_for_a_moment_is_asked_again() {
        let error = |trouble| Err(PortError::new(trouble, "list tasks"));
        let there = || Ok(vec![task("new", true, Some("10.0.0.2:32769"))]);
        let answers = vec![error(Trouble::Unreachable), error(Trouble::Unreachable), there()];
        assert_eq!(seen(answers).await.unwrap(), ["new"]);
        assert!(seen(vec![error(Trouble::Denied), there()]).await.is_err());
    }
}
