//! The Docker Swarm that runs the colours, by the Engine API.
//!
//! Specs are made (`spec`), compared (`edits`) and put back as the engine's own JSON; what the engine shows of
//! tasks and nodes is turned into the model's words by pure functions (`task`, `node`); whatever has
//! to be awaited is polled (`settle`), since Swarm reports no task events.

mod address;
mod constraint;
mod doctor;
mod edits;
mod error;
mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod node;
mod preflight;
mod service;
mod settle;
mod spec;
mod survey;
mod tail;
mod task;

pub use doctor::engine;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use futures_util::stream::BoxStream;
use serde_json::{Value, json};

pub use self::doctor::engine as examine_engine;
pub use self::spec::{Ids, service_spec};
use crate::deploy::ports::{
    BothColours, Found, PortError, PortResult, PortWanted, Swarm, SwarmSnapshot, Tail, Trouble,
};
use crate::docker::{Client, Error};
use crate::model::{
    Colour, DeploymentId, ImageRef, PinnedImage, Release, ServiceName, Task, Workload, labels,
};
use error::SwarmError;
use node::Nodes;
use service::{Credentials, Service, label, template};
use task::RawTask;

/// A Swarm, behind one of its managers.
pub struct DockerSwarm {
    client: Client,
    nodes: Nodes,
    /// Which of several candidates a task answers on, by task id.
    probed: Mutex<HashMap<String, SocketAddr>>,
}

impl DockerSwarm {
    /// The Swarm that the engine behind `client` manages.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { nodes: Nodes::new(client.clone()), client, probed: Mutex::default() }
    }

    fn lock_probed(&self) -> MutexGuard<'_, HashMap<String, SocketAddr>> {
        self.probed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tasks of `name`, the oldest first.
    async fn raw_tasks(&self, name: &str) -> Result<Vec<RawTask>, Error> {
        self.tasks_by(&[("service", &[name])]).await
    }

    /// Those that are to run of all `services`, given by name or id; none when one of these is not there.
    async fn wanted_tasks_of(&self, services: &[&str]) -> Result<Option<Vec<RawTask>>, Error> {
        match self.tasks_by(&[("service", services), ("desired-state", &["running"])]).await {
            Ok(tasks) => Ok(Some(tasks)),
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Those of `ids` that are to run.
    async fn wanted_tasks_among(&self, ids: &BTreeSet<String>) -> Result<Vec<RawTask>, Error> {
        if ids.is_empty() {
            // To the engine that would be all there are.
            return Ok(Vec::new());
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.tasks_by(&[("id", &ids), ("desired-state", &["running"])]).await
    }

    async fn tasks_by(&self, filters: &[(&str, &[&str])]) -> Result<Vec<RawTask>, Error> {
        let mut tasks: Vec<RawTask> = self.client.get("/tasks").filters(filters).value().await?;
        tasks.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(tasks)
    }

    async fn observe(&self, name: &str, wanted: &PortWanted) -> Result<Vec<Task>, Error> {
        let (service, raw) = tokio::try_join!(self.find(name), self.raw_tasks(name))?;
        let template = service.as_ref().map_or(&Value::Null, |service| template(&service.spec));
        self.read_tasks(template, raw, wanted).await
    }

    /// Both colours of `service` and their tasks, or those `among` these alone: two calls where both are there.
    async fn look_at_both(
        &self,
        service: &ServiceName,
        among: Option<&BTreeSet<String>>,
    ) -> Result<BothColours, Error> {
        let names = Colour::BOTH.map(|colour| service.swarm_name(colour));
        let names = names.each_ref().map(String::as_str);
        let tasks = async {
            match among {
                Some(among) => self.wanted_tasks_among(among).await.map(Some),
                None => self.wanted_tasks_of(&names).await,
            }
        };
        let (services, all) = tokio::try_join!(self.services_named(&names), tasks)?;
        let found = Colour::BOTH.into_iter().zip(names).filter_map(|(colour, name)| {
            let service = services.iter().find(|service| service.name() == name)?;
            Some(self.look_at(colour, service.clone(), all.as_deref()))
        });
        Ok(try_join_all(found).await?.into_iter().collect())
    }

    async fn looked(
        &self,
        service: &ServiceName,
        among: Option<&BTreeSet<String>>,
    ) -> PortResult<BothColours> {
        let found = Box::pin(self.look_at_both(service, among)).await;
        found.map_err(|error| error.during(format!("look at the Swarm services of `{service}`")))
    }

    /// `service`, which runs `colour`, with its tasks among `all` that were listed, if they were.
    async fn look_at(
        &self,
        colour: Colour,
        service: Service,
        all: Option<&[RawTask]>,
    ) -> Result<(Colour, (SwarmSnapshot, Vec<Task>)), Error> {
        let raw = match all {
            Some(all) => all.iter().filter(|task| task.service == service.id).cloned().collect(),
            // Gone by now, its tasks are, too.
            None => self.wanted_tasks_of(&[&service.id]).await?.unwrap_or_default(),
        };
        let snapshot = snapshot_of(service);
        let tasks = match snapshot.port() {
            Some(wanted) => self.read_tasks(template(&snapshot.spec), raw, &wanted).await?,
            // Verdigris did not make it: nobody can be led to it.
            None => Vec::new(),
        };
        Ok((colour, (snapshot, tasks)))
    }

    /// What `raw` means, the tasks of a service with this `template` now.
    async fn read_tasks(
        &self,
        template: &Value,
        raw: Vec<RawTask>,
        wanted: &PortWanted,
    ) -> Result<Vec<Task>, Error> {
        let homes = raw.iter().map(|task| task.node.as_str());
        let nodes = self.nodes.with(homes.filter(|id| !id.is_empty())).await?;
        let mut tasks = Vec::with_capacity(raw.len());
        for raw in raw {
            let node = nodes.get(&raw.node);
            let mut task = raw.to_task(template, node, wanted);
            if task.state == crate::model::TaskState::Running {
                task.address = self.address(&raw, node, wanted).await;
            }
            tasks.push(task);
        }
        Ok(tasks)
    }

    /// Remove `name` if it is there, and wait for its tasks. One that somebody else made is none of
    /// ours, and stays.
    async fn clear(&self, name: &str) -> Result<(), SwarmError> {
        let service = self.find(name).await?.filter(Service::is_ours);
        if let Some(service) = &service {
            self.remove(service).await?;
        }
        let id = service.as_ref().map(|service| service.id.as_str());
        self.gone(name, id).await
    }

    /// Make `name` equal to `before`, and wait for its tasks.
    async fn put_back(&self, name: &str, before: &SwarmSnapshot) -> Result<(), SwarmError> {
        self.put(name, Credentials::Helpful, |there| match there {
            Some(service) if service.spec == before.spec => None,
            _ => Some(before.spec.clone()),
        })
        .await?;
        match self.find_ours(name).await? {
            Some(service) => self.settled(name, &service).await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Swarm for DockerSwarm {
    async fn resolve(&self, image: &ImageRef) -> PortResult<PinnedImage> {
        let pinned = self.client.pin(image).await;
        pinned.map_err(|error| error.during(format!("resolve the image `{image}`")))
    }

    async fn preflight(&self, workload: &Workload) -> PortResult<Vec<String>> {
        let found = Box::pin(self.obstacles(workload)).await;
        found.map_err(|error| error.during("look at the Swarm"))
    }

    async fn snapshot(&self, name: &str) -> PortResult<Option<SwarmSnapshot>> {
        let found = self.find(name).await;
        let found = found.map_err(|error| error.during(format!("read {}", quoted(name))))?;
        Ok(found.map(snapshot_of))
    }

    async fn start(
        &self,
        release: &Release,
        colour: Colour,
        deployment: DeploymentId,
    ) -> PortResult<()> {
        let name = release.service.swarm_name(colour);
        let operation = format!("start {} with `{}`", quoted(&name), release.image);
        let ids = Box::pin(self.ids(&release.workload)).await;
        let ids = ids.map_err(|error| error.during(&operation))?;
        let spec = service_spec(release, colour, deployment, &ids);
        let put = self.put(&name, Credentials::Needed, |_| Some(spec.clone())).await;
        put.map_err(|error| error.during(operation))
    }

    fn edits(&self, release: &Release, colour: Colour, there: &SwarmSnapshot) -> Vec<String> {
        edits::edits(release, colour, &there.spec)
    }

    async fn restore(&self, name: &str, before: Option<&SwarmSnapshot>) -> PortResult<()> {
        let (operation, restored) = match before {
            None => (format!("remove {}", quoted(name)), self.clear(name).await),
            Some(before) => {
                (format!("put back {}", quoted(name)), self.put_back(name, before).await)
            }
        };
        restored.map_err(|error| error.during(operation))
    }

    async fn scale(&self, name: &str, replicas: u64) -> PortResult<()> {
        let operation = format!("scale {} to {replicas}", quoted(name));
        let there = self.find_ours(name).await;
        let there = there.map_err(|error| error.during(&operation))?;
        if there.is_none() {
            return Err(PortError::new(Trouble::NotFound, operation).because("it does not exist"));
        }
        let decide = |there: Option<&Service>| scaled(&there?.spec, replicas);
        let scaled = self.put(name, Credentials::Helpful, decide).await;
        scaled.map_err(|error| error.during(operation))
    }

    async fn tasks(&self, name: &str, port: PortWanted) -> PortResult<Vec<Task>> {
        let observed = Box::pin(self.observe(name, &port)).await;
        observed.map_err(|error| error.during(format!("list the tasks of {}", quoted(name))))
    }

    async fn look(&self, service: &ServiceName) -> PortResult<BothColours> {
        self.looked(service, None).await
    }

    async fn look_among(
        &self,
        service: &ServiceName,
        among: &BTreeSet<String>,
    ) -> PortResult<BothColours> {
        self.looked(service, Some(among)).await
    }

    async fn tail(&self, task: &Task, lines: usize) -> Tail {
        self.last_words(task, lines).await
    }

    async fn services(&self) -> PortResult<Vec<(ServiceName, Colour, SwarmSnapshot)>> {
        let ours = self.ours().await;
        let ours = ours.map_err(|error| error.during("list Swarm services"))?;
        Ok(ours.into_iter().filter_map(identify).collect())
    }

    async fn survey(&self) -> PortResult<Vec<Found>> {
        let found = Box::pin(self.survey_all()).await;
        found.map_err(|error| error.during("list Swarm services"))
    }

    async fn events(&self) -> PortResult<BoxStream<'static, String>> {
        let subscribed = events::subscribe(&self.client).await;
        subscribed.map_err(|error| error.during("subscribe to the engine's events"))
    }
}

fn quoted(name: &str) -> String {
    format!("Swarm service `{name}`")
}

fn snapshot_of(service: Service) -> SwarmSnapshot {
    SwarmSnapshot { name: service.name().to_owned(), spec: service.spec }
}

/// Service and colour of one that carries our labels and the name that goes with them.
fn identify(found: Service) -> Option<(ServiceName, Colour, SwarmSnapshot)> {
    let service: ServiceName = label(&found.spec, labels::SERVICE)?.parse().ok()?;
    let colour: Colour = label(&found.spec, labels::COLOUR)?.parse().ok()?;
    (service.swarm_name(colour) == found.name()).then(|| (service, colour, snapshot_of(found)))
}

/// `spec` with another number of replicas; none when it has that number, or has none at all.
fn scaled(spec: &Value, replicas: u64) -> Option<Value> {
    let mut spec = spec.clone();
    let number = spec.pointer_mut("/Mode/Replicated/Replicas")?;
    if *number == json!(replicas) {
        return None;
    }
    *number = json!(replicas);
    Some(spec)
}

#[cfg(test)]
mod tests;
