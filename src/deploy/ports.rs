//! The seams: what a deployment needs from the outside, in the field's words.
//!
//! Each has one real adapter (the registry two) and one in the simulated world. Every act here is
//! idempotent: doing it again, or after half of it was done, ends in the same state.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::record::{Journalled, Record};
use crate::model::labels;
use crate::model::{
    Backend, Colour, DeploymentId, Event, Gate, GatePoint, ImageRef, Instance, PinnedImage, Policy,
    Publish, Release, ServiceName, ServiceRecord, ServiceView, Task, Workload,
};

/// Which kind of trouble a port met; decides the exit code and whether trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answers, or the answer says that it is passing (no leader, engine restarting).
    Unreachable,
    /// The thing does not exist.
    NotFound,
    /// Somebody else changed it meanwhile.
    Conflict,
    /// Another daemon is responsible for the service now, or was meanwhile: what this one meant to do
    /// with it is out of date.
    Superseded,
    /// Credentials are missing or not sufficient.
    Denied,
    /// What was asked for can never work.
    Invalid,
    /// Anything else.
    Other,
}

/// An operation behind a port failed.
#[derive(Debug, thiserror::Error)]
pub struct PortError {
    /// What was tried, as a phrase: `` update Swarm service `books-ms-green` ``.
    pub operation: String,
    /// The kind of trouble.
    pub trouble: Trouble,
    /// What to do about it, when that is known.
    pub remedy: Option<String>,
    /// Further lines worth showing: a checker's output, an engine's words.
    pub details: Vec<String>,
    /// What lies beneath.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.operation)
    }
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

impl PortError {
    /// `operation` met `trouble`.
    pub fn new(trouble: Trouble, operation: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            trouble,
            remedy: None,
            details: Vec::new(),
            source: None,
        }
    }

    /// With what lies beneath.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With the way out.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The whole chain in one line: `cannot X: Y: Z`.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            line.push_str(": ");
            line.push_str(&error.to_string());
            next = error.source();
        }
        line
    }
}

/// What a port's operation answers.
pub type PortResult<T> = Result<T, PortError>;

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

    /// Put `name` back to `before`: remove it when there was none, else its previous spec and scale.
    /// Does nothing when it is so already. Returns when its tasks are as they should be: for a
    /// removed or scaled-down service, stopped.
    async fn restore(&self, name: &str, before: Option<&SwarmSnapshot>) -> PortResult<()>;

    /// Set the number of replicas; returns when the engine accepted it.
    async fn scale(&self, name: &str, replicas: u64) -> PortResult<()>;

    /// The tasks of `name`, newest last, those that ended included. `port` is the container port
    /// whose address is wanted.
    async fn tasks(&self, name: &str, port: PortWanted) -> PortResult<Vec<Task>>;

    /// The last `lines` lines that `task` wrote, oldest first; best effort, empty when there are none.
    async fn tail(&self, task: &Task, lines: usize) -> Vec<String>;

    /// Names of the Swarm services that Verdigris made, with their service and colour.
    async fn services(&self) -> PortResult<Vec<(ServiceName, Colour, SwarmSnapshot)>>;

    /// Hints that something changed (a Swarm service name, or empty for "anything"). Ends when the
    /// connection does: subscribe again. Never relied upon: the truth is asked for.
    async fn events(&self) -> PortResult<BoxStream<'static, String>>;
}

/// How the address of a task is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortWanted {
    /// The node's address and the random port that publishes this container port.
    Host(u16),
    /// The task's own address on its first user network, and this container port.
    Overlay(u16),
}

/// Where instances, colours and routes are recorded.
#[async_trait]
pub trait Registry: Send + Sync {
    /// All that is held of `service`; an empty record when nothing is.
    async fn read(&self, service: &ServiceName) -> PortResult<ServiceRecord>;

    /// All services that Verdigris recorded.
    async fn read_all(&self) -> PortResult<BTreeMap<ServiceName, ServiceRecord>>;

    /// Make what is held of `service` equal to `record`, writing only what differs. Entries that
    /// Verdigris did not make are never touched. Instances are put before the route is published,
    /// and removed after.
    async fn write(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<()>;

    /// Hints that something changed. Ends when the connection does.
    async fn changes(&self) -> PortResult<BoxStream<'static, ()>>;
}

/// Grows by one whenever a service passes from one daemon to another: a deployment that was prepared in
/// an earlier tenure knows nothing of what happened since. 0 where there is no other daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenure(pub u64);

/// Which daemon is responsible for a service: one at a time deploys it.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Have the lease on `service`: at once when it is held, else it is taken, also one that was lost.
    /// While it is held the registry refuses writes of the service once another daemon has it.
    /// [`Trouble::Superseded`] when another daemon has it; the error names that one.
    async fn take(&self, service: &ServiceName) -> PortResult<Tenure>;

    /// Give it back, if it is held; `unfinished`: a deployment of it is parked, so that it must be
    /// noticed when another daemon takes the service meanwhile.
    async fn leave(&self, service: &ServiceName, unfinished: bool);

    /// Services whose lease bears this daemon's name though it does not hold it: a life that was ended
    /// could not give it back.
    async fn left(&self) -> PortResult<Vec<ServiceName>>;

    /// The other daemon that has the lease on `service`, if one has.
    async fn rival(&self, service: &ServiceName) -> PortResult<Option<String>>;
}

/// What one proxy had of a service, kept so that it can be put back exactly; none: nothing.
pub type ProxyViews = BTreeMap<String, Option<ServiceView>>;

/// What one proxy says of the answers of one colour since it was staged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// All answers.
    pub total: u64,
    /// Those with a 5xx status.
    pub errors: u64,
}

/// All the proxies together; one keeper each behind it.
#[async_trait]
pub trait Proxies: Send + Sync {
    /// What each proxy has of `service` at the moment.
    async fn snapshot(&self, service: &ServiceName) -> PortResult<ProxyViews>;

    /// Put `backends` into `colour` of `view.service` without public effect, and prove it. `view`
    /// carries the rule and the colour that is live now. A rule that differs from the one in force
    /// is taken over here only for a service without a live colour; else by `flip`.
    async fn stage(
        &self,
        view: &ServiceView,
        colour: Colour,
        backends: &[Backend],
    ) -> PortResult<()>;

    /// Move the public traffic of `service` to `to` in one atomic act per proxy, write the same to
    /// the files, and prove it live: fresh requests are answered by staged instances of `to`.
    async fn flip(&self, service: &ServiceName, to: Colour, generation: u64) -> PortResult<()>;

    /// Put `service` back to what `before` says in every proxy: flip back first where the live colour
    /// differs (proved), then unstage. Files equal what they were.
    async fn restore(&self, service: &ServiceName, before: &ProxyViews) -> PortResult<()>;

    /// The colour has no instances any more: take them out where that costs nothing (HAProxy), leave
    /// them where it would cost a reload (nginx; stale addresses of an idle colour hurt nobody).
    async fn retire(&self, service: &ServiceName, colour: Colour) -> PortResult<()>;

    /// Replace the instances of `colour` (a task moved or died), live or not.
    async fn refresh(
        &self,
        service: &ServiceName,
        colour: Colour,
        backends: &[Backend],
    ) -> PortResult<()>;

    /// Wait until no request is in flight on `colour`; the caller bounds it in time.
    async fn drained(&self, service: &ServiceName, colour: Colour) -> PortResult<()>;

    /// Answers of `colour` so far, summed over the proxies; differences are what counts.
    async fn answers(&self, service: &ServiceName, colour: Colour) -> PortResult<Answers>;

    /// Where the public listeners are, for gates: plain and TLS addresses of every proxy.
    fn doors(&self) -> Vec<Door>;
}

/// The public listeners of one proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// The proxy's name.
    pub proxy: String,
    /// `ADDR:80`
    pub http: Option<std::net::SocketAddr>,
    /// `ADDR:443`
    pub https: Option<std::net::SocketAddr>,
    /// PEM file of the authority that its certificates are checked against; none: the system's.
    pub ca: Option<std::path::PathBuf>,
    /// Header name and secret value that make the proxy name the instance that answered, in
    /// `X-Verdigris-Upstream: ip:port` and `X-Verdigris-Colour`.
    pub probe: Option<(String, String)>,
}

/// What a gate is told about the deployment.
#[derive(Debug, Clone)]
pub struct GateContext {
    /// The deployment.
    pub deployment: DeploymentId,
    /// When.
    pub point: GatePoint,
    /// The new release.
    pub release: Arc<Release>,
    /// Its colour.
    pub colour: Colour,
    /// The new instances; empty before they run.
    pub instances: Vec<Instance>,
    /// The public listeners; empty before the switch.
    pub doors: Vec<Door>,
}

/// Why a gate did not pass.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// It ran and said no.
    #[error("{reason}")]
    Failed {
        /// What it said: `exit code 1`, `status 500 instead of 200 from 10.0.0.2:32768`.
        reason: String,
        /// The JUnit files that it wrote, which tell more.
        junit: Vec<JunitFile>,
    },
    /// It did not end within its timeout.
    #[error("not passed after {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// It could not be run at all.
    #[error(transparent)]
    NotRun(#[from] PortError),
}

/// Takes one line of a gate's output. A name of its own, because `async_trait` would give the `&str`
/// within a lifetime from outside, and no line that is read while the gate runs lives that long.
pub type Output<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Runs gates.
#[async_trait]
pub trait Gates: Send + Sync {
    /// Run `gate` to its end. Each line of output goes to `output` as it comes. Leaves nothing behind,
    /// also when `stop` fires (then it answers soon, with any error). JUnit files that the gate wrote are returned.
    async fn run(
        &self,
        gate: &Gate,
        context: &GateContext,
        output: Output<'_>,
        stop: &CancellationToken,
    ) -> Result<Vec<JunitFile>, GateError>;

    /// Remove whatever gates of `deployment` left behind (after a crash).
    async fn clean(&self, deployment: DeploymentId) -> PortResult<()>;

    /// Deployments whose gates have something there: at work, or left behind.
    async fn left(&self) -> PortResult<BTreeSet<DeploymentId>>;
}

/// A JUnit file that a test container wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JunitFile {
    /// File name.
    pub name: String,
    /// Its text.
    pub xml: String,
}

/// The durable log of all deployments.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Append, durably: when this returns the record survives a power cut.
    async fn append(&self, deployment: DeploymentId, record: &Record) -> PortResult<()>;

    /// All records of a deployment, oldest first; empty when it is unknown.
    async fn read(&self, deployment: DeploymentId) -> PortResult<Vec<Journalled>>;

    /// Deployments whose last record is not an end.
    async fn unfinished(&self) -> PortResult<Vec<DeploymentId>>;

    /// The newest `limit` deployments, newest first, of one service or of all.
    async fn recent(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> PortResult<Vec<DeploymentId>>;
}

/// What was said about deployments: for `logs` and for clients that reconnect. Losing the newest of it
/// in a power cut is no harm; the journal is what counts.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Keep an event.
    async fn keep(&self, event: &Event);

    /// The events of a deployment, oldest first.
    async fn events(&self, deployment: DeploymentId) -> PortResult<Vec<Event>>;
}

/// The wall clock. Waiting is tokio's; this is for instants that outlive the process.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// All the ports together: the world that a deployment acts on.
#[derive(Clone)]
pub struct World {
    /// Runs the colours.
    pub swarm: Arc<dyn Swarm>,
    /// Records them.
    pub registry: Arc<dyn Registry>,
    /// Says who may.
    pub leases: Arc<dyn Leases>,
    /// Leads the public to them.
    pub proxies: Arc<dyn Proxies>,
    /// Judges them.
    pub gates: Arc<dyn Gates>,
    /// Remembers.
    pub journal: Arc<dyn Journal>,
    /// Keeps what was said.
    pub log: Arc<dyn EventLog>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}
