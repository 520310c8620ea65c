//! All that Verdigris made and what runs of it, in one list of services and one of tasks.

use std::collections::HashMap;

use super::DockerSwarm;
use super::address::Presumed;
use super::identify;
use super::node::Node;
use super::task::{Networks, RawTask};
use crate::deploy::ports::{Found, PortWanted};
use crate::docker::Error;
use crate::model::{Instance, TaskState, labels};

/// A task of which no more is read than where it runs and answers.
type Brief = RawTask<Option<Networks>>;

impl DockerSwarm {
    pub(super) async fn survey_all(&self) -> Result<Vec<Found>, Error> {
        let (services, tasks) = tokio::try_join!(self.ours(), self.wanted_tasks())?;
        let homes = tasks.iter().map(|task| task.node.as_str());
        let nodes = self.nodes.with(homes.filter(|id| !id.is_empty())).await?;
        let mut by_service: HashMap<&str, Vec<&Brief>> = HashMap::new();
        for task in &tasks {
            by_service.entry(task.service.as_str()).or_default().push(task);
        }
        let found = services.into_iter().filter_map(|service| {
            let tasks = by_service.remove(service.id.as_str()).unwrap_or_default();
            let (service, colour, snapshot) = identify(service)?;
            let running = match snapshot.port() {
                Some(wanted) => self.running(&tasks, &nodes, &wanted),
                // Nobody can be led to it.
                None => Some(Vec::new()),
            };
            Some(Found { service, colour, snapshot, running })
        });
        Ok(found.collect())
    }

    /// The tasks that are to run, of all services that Verdigris made.
    async fn wanted_tasks(&self) -> Result<Vec<Brief>, Error> {
        let ours = format!("{}={}", labels::MANAGED_BY, labels::VERDIGRIS);
        let filters: [(&str, &[&str]); 2] = [("label", &[&ours]), ("desired-state", &["running"])];
        self.client.get("/tasks").filters(&filters).value().await
    }

    /// The instances among `tasks`; none when the address of one is not clear from the list.
    fn running(
        &self,
        tasks: &[&Brief],
        nodes: &HashMap<String, Node>,
        wanted: &PortWanted,
    ) -> Option<Vec<Instance>> {
        let mut running = Vec::new();
        let run = tasks.iter().filter(|task| task.is_wanted());
        for task in run.filter(|task| task.state() == TaskState::Running) {
            let node = nodes.get(&task.node);
            match self.presumed(task, node, wanted) {
                Presumed::At(address) => {
                    let (task, node) = (task.id.clone(), task.home(node));
                    running.push(Instance { task, node, address });
                }
                Presumed::Nowhere => {}
                Presumed::Unclear => return None,
            }
        }
        Some(running)
    }
}
