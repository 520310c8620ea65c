use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::PortResult;
use crate::model::labels;
use crate::model::{
    Colour, DeploymentId, ImageRef, Instance, PinnedImage, Policy, Publish, Release, ServiceName,
    Task, Workload,
};

/// A Swarm service as it stands, kept so that it can be put back exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwarmSnapshot {
    /// Its name, `<service>-<colour>`.
    pub name: String,
    /// The `Spec` as the engine's JSON, untouched by any typed model (which would lose fields).
    pub spec: serde_json::Value,
}

impl SwarmSnapshot {
    /// How many replicas it asks for; none when it is not a replicated service.
    #[must_use]
    pub fn replicas(&self) -> Option<u64> {
        self.spec.pointer("/Mode/Replicated/Replicas")?.as_u64()
    }

    /// The release that it was labelled with.
    #[must_use]
    pub fn release(&self) -> Option<&str> {
        self.label(labels::RELEASE)
    }

    /// One of the labels of the Swarm service.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.spec.get("Labels")?.get(name)?.as_str()
    }

    /// How its tasks are addressed, by its labels; none when Verdigris did not make it.
    #[must_use]
    pub fn port(&self) -> Option<PortWanted> {
        let port = self.label(labels::PORT)?.parse().ok()?;
        match self.label(labels::PUBLISH)? {
            "host" => Some(PortWanted::Host(port)),
            "overlay" => Some(PortWanted::Overlay(port)),
            _ => None,
        }
    }

    /// The image it runs, as sent.
    #[must_use]
    pub fn image(&self) -> Option<&str> {
        self.spec.pointer("/TaskTemplate/ContainerSpec/Image")?.as_str()
    }
}

/// One of the Swarm services that Verdigris made, as a look at all of them shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The service whose colour it runs.
    pub service: ServiceName,
    /// The colour.
    pub colour: Colour,
    /// As it stands.
    pub snapshot: SwarmSnapshot,
    /// The instances that run; none when only [`Swarm::tasks`] can tell.
    pub running: Option<Vec<Instance>>,
}

/// The Swarm services of both colours of a service, as far as there are any, each with tasks of it.
pub type BothColours = BTreeMap<Colour, (SwarmSnapshot, Vec<Task>)>;

/// The Docker Swarm that runs the colours.
#[async_trait]
pub trait Swarm: Send + Sync {
    /// Ask the registry of images for the digest behind `image`, with credentials.
    async fn resolve(&self, image: &ImageRef) -> PortResult<PinnedImage>;

    /// Everything that would keep `workload` from running (networks, secrets, configs, nodes),
    /// all of it at once, one line each; empty when nothing does.
    async fn preflight(&self, workload: &Workload) -> PortResult<Vec<String>>;

    /// The Swarm service `name` as it stands; none if there is none.
    async fn snapshot(&self, name: &str) -> PortResult<Option<SwarmSnapshot>>;

    /// Make `<service>-<colour>` run `release`: create it, or update it when it exists. Labelled with
    /// service, colour, release and deployment, pinned by digest.
    async fn start(
        &self,
        release: &Release,
        colour: Colour,
        deployment: DeploymentId,
    ) -> PortResult<()>;

    /// In what `there` is not what [`start`](Self::start) made of `release` as `colour`, because somebody
    /// changed it by hand; a few words each, `0 replicas instead of 2`. Empty when it is that. Asks nobody.
    fn edits(&self, release: &Release, colour: Colour, there: &SwarmSnapshot) -> Vec<String>;

    /// Put `name` back to `before`: remove it when there was none, else its previous spec and scale.
    /// Does nothing when it is so already. Returns when its tasks are as they should be: for a
    /// removed or scaled-down service, stopped.
    async fn restore(&self, name: &str, before: Option<&SwarmSnapshot>) -> PortResult<()>;

    /// Set the number of replicas; returns when the engine accepted it.
    async fn scale(&self, name: &str, replicas: u64) -> PortResult<()>;

    /// The tasks of `name`, newest last, those that ended included. `port` is the container port
    /// whose address is wanted.
    async fn tasks(&self, name: &str, port: PortWanted) -> PortResult<Vec<Task>>;

    /// Both colours of `service`, each with those of its tasks that are to run, addressed as its labels say.
    async fn look(&self, service: &ServiceName) -> PortResult<BothColours>;

    /// The same with those alone of their tasks whose ids are `among` these: the engine finds them sooner.
    async fn look_among(
        &self,
        service: &ServiceName,
        among: &BTreeSet<String>,
    ) -> PortResult<BothColours>;

    /// The last `lines` lines that `task` wrote, and what its health check said; best effort, empty when
    /// there is nothing.
    async fn tail(&self, task: &Task, lines: usize) -> Tail;

    /// Names of the Swarm services that Verdigris made, with their service and colour.
    async fn services(&self) -> PortResult<Vec<(ServiceName, Colour, SwarmSnapshot)>>;

    /// The same, and what runs of each: at a price that hardly depends on how many there are.
    async fn survey(&self) -> PortResult<Vec<Found>>;

    /// Hints that something changed (a Swarm service name, or empty for "anything"). Ends when the
    /// connection does: subscribe again. Never relied upon: the truth is asked for.
    async fn events(&self) -> PortResult<BoxStream<'static, String>>;
}

/// What is left of a task that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// Its last lines, oldest first.
    pub lines: Vec<String>,
    /// What its health check said, if it was ended because it was unhealthy.
    pub unhealthy: Option<String>,
}

/// How the address of a task is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortWanted {
    /// The node's address and the random port that publishes this container port.
    Host(u16),
    /// The task's own address on its first user network, and this container port.
    Overlay(u16),
}

impl PortWanted {
    /// The port of a release.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        match policy.publish {
            Publish::Host => Self::Host(policy.port),
            Publish::Overlay => Self::Overlay(policy.port),
        }
    }
}
