//! The simulated world: what is true in it, and the handle by which a daemon acts on it.
//!
//! One noun per file: each part of the world with its port, the acts with their faults (`act`), the
//! client whose requests are never to be lost (`client`), and what must hold besides (`checks`).

mod act;
mod checks;
mod client;
mod election;
mod flights;
mod gates;
mod half;
mod journal;
mod leases;
mod proxies;
mod registry;
mod rivals;
mod swarm;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use verdigris::deploy::ports::{Clock, World};
use verdigris::model::{Colour, DeploymentId, Event, ServiceName, ServiceRecord};

use act::Faults;
pub use act::Part;
use checks::Open;
use client::Client;
pub use election::Election;
use election::Servers;
use flights::Flights;
pub use journal::Commit;
use journal::Journals;
use leases::Leasehold;
pub use proxies::{Answer, SimProxy, Stubborn, Views};
pub use registry::Losses;
use swarm::SimService;

/// The daemon under test, and another one with a state directory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    Ours,
    Rival,
}

/// What can go wrong, as far as it is counted: that seeds draw it often enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A proxy did part of an act.
    Half,
    /// The registry had no leader.
    NoLeader,
    /// What was read from it was out of date.
    StaleRead,
    /// It forgot the daemon's session.
    LostSession,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::Half, Self::NoLeader, Self::StaleRead, Self::LostSession];
}

/// All that the daemon leaves behind: compared before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub swarm: BTreeMap<String, Value>,
    pub registry: BTreeMap<ServiceName, ServiceRecord>,
    pub proxies: BTreeMap<String, Views>,
    pub containers: usize,
}

pub struct Truth {
    pub rng: fastrand::Rng,
    start: (Instant, Timestamp),
    /// The wall clock is wrong by so much, in seconds.
    pub skew: i64,
    pub swarm: BTreeMap<String, SimService>,
    /// How often something else was pushed under every tag.
    pub pushes: usize,
    /// The Swarm does not get this service back to what it was.
    pub refuse_restore: Option<String>,
    /// The tasks of a service that is removed stop only after this long.
    pub slow_to_stop: Option<Duration>,
    /// Tasks that died by themselves so far.
    pub deaths: u32,
    next_task: u16,
    pub registry: BTreeMap<ServiceName, ServiceRecord>,
    /// Writes that the registry loses still.
    pub losses: Losses,
    pub servers: Servers,
    pub leases: Leasehold,
    pub proxies: BTreeMap<String, SimProxy>,
    /// Acts that proxies do half yet, now and then.
    pub halves: u32,
    /// What proxies refuse.
    pub stubborn: Vec<Stubborn>,
    /// Requests that do not end are in flight on whatever is drained.
    pub in_flight: bool,
    /// How often it was asked whether requests are in flight.
    pub drains: u32,
    pub containers: BTreeMap<DeploymentId, usize>,
    /// Gates at work, of the life that is.
    gates: BTreeMap<DeploymentId, usize>,
    pub journals: BTreeMap<Daemon, Journals>,
    /// Sequences that came with requests which attached.
    accepted: BTreeMap<(Daemon, ServiceName), u64>,
    log: BTreeMap<DeploymentId, Vec<Event>>,
    /// Deployments that have not ended.
    pub open: BTreeMap<(Daemon, DeploymentId), Open>,
    /// Those that began something though another daemon had the service.
    pub outdated: BTreeSet<(Daemon, DeploymentId)>,
    /// Those that it was agreed to abort, and in which life.
    aborted: BTreeMap<DeploymentId, u64>,
    /// What was committed last, by any daemon.
    pub committed: BTreeMap<ServiceName, Commit>,
    /// Releases without a route are deployed: whoever meets nobody has lost nothing.
    pub unrouted: bool,
    pub faults: Faults,
    /// The daemon's life; acts of an earlier one have no effect.
    life: u64,
    client: Client,
    flights: Flights,
    /// When the requests were looked at last.
    looked: Instant,
    /// Where the keepers of the proxies led the public when that was looked at last.
    led: BTreeMap<(String, ServiceName), Colour>,
    pub violations: Vec<String>,
    /// What went wrong so far.
    pub met: BTreeSet<Fault>,
    /// When what was done: a seed replays act by act.
    pub trace: Vec<(Duration, String)>,
    /// Every act is told, for whoever replays a seed with `TELL=1`.
    told: bool,
}

/// A handle on the world, of one life of the daemon.
#[derive(Clone)]
pub struct Sim {
    truth: Arc<Mutex<Truth>>,
    pub daemon: Daemon,
    life: u64,
    killed: watch::Sender<u64>,
    /// The daemon is asked to end in good order.
    pub asked_to_end: Arc<Notify>,
    events: watch::Sender<u64>,
}

impl Sim {
    pub fn new(seed: u64) -> Self {
        let start = (Instant::now(), "2026-01-01T00:00:00Z".parse().expect("a timestamp"));
        let proxies = ["edge-haproxy", "edge-nginx"];
        let truth = Truth {
            rng: fastrand::Rng::with_seed(seed),
            start,
            skew: 0,
            swarm: BTreeMap::new(),
            pushes: 0,
            refuse_restore: None,
            slow_to_stop: None,
            deaths: 0,
            next_task: 0,
            registry: BTreeMap::new(),
            losses: Losses::default(),
            servers: Servers::default(),
            leases: Leasehold::default(),
            proxies: proxies.map(|name| (name.to_owned(), SimProxy::default())).into(),
            halves: 0,
            stubborn: Vec::new(),
            in_flight: false,
            drains: 0,
            containers: BTreeMap::new(),
            gates: BTreeMap::new(),
            journals: BTreeMap::new(),
            accepted: BTreeMap::new(),
            log: BTreeMap::new(),
            open: BTreeMap::new(),
            outdated: BTreeSet::new(),
            aborted: BTreeMap::new(),
            committed: BTreeMap::new(),
            unrouted: false,
            faults: Faults::default(),
            life: 0,
            client: Client::default(),
            flights: Flights::default(),
            looked: start.0,
            led: BTreeMap::new(),
            violations: Vec::new(),
            met: BTreeSet::new(),
            trace: Vec::new(),
            told: std::env::var_os("TELL").is_some(),
        };
        Self {
            truth: Arc::new(Mutex::new(truth)),
            daemon: Daemon::Ours,
            life: 0,
            killed: watch::channel(0).0,
            asked_to_end: Arc::default(),
            events: watch::channel(0).0,
        }
    }

    pub fn world(&self) -> World {
        World {
            swarm: Arc::new(self.clone()),
            registry: Arc::new(self.clone()),
            leases: Arc::new(self.clone()),
            proxies: Arc::new(self.clone()),
            gates: Arc::new(self.clone()),
            journal: Arc::new(self.clone()),
            log: Arc::new(self.clone()),
            clock: Arc::new(self.clone()),
        }
    }

    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().expect("no act panics")
    }

    /// The handle of the daemon's current life.
    pub fn reborn(&self) -> Self {
        let life = self.truth().life;
        Self { life, ..self.clone() }
    }

    /// The handle of another daemon.
    pub fn rival(&self) -> Self {
        Self { daemon: Daemon::Rival, ..self.clone() }
    }

    /// The life of the daemon that this handle belongs to has not ended.
    pub fn lives(&self) -> bool {
        self.truth().life == self.life
    }

    /// Wait until the daemon of this life is killed.
    pub async fn killed(&self) {
        let mut killed = self.killed.subscribe();
        killed.wait_for(|life| *life > self.life).await.expect("the sender is held");
    }
}

impl Picture {
    /// What there is of one service.
    pub fn of(mut self, service: &ServiceName) -> Self {
        let names = Colour::BOTH.map(|colour| service.swarm_name(colour));
        self.swarm.retain(|name, _| names.contains(name));
        self.registry.retain(|name, _| name == service);
        self.proxies.values_mut().for_each(|views| views.retain(|name, _| name == service));
        self
    }
}

impl Clock for Sim {
    fn now(&self) -> Timestamp {
        self.truth().now()
    }
}

impl Truth {
    fn now(&self) -> Timestamp {
        self.start.1 + self.start.0.elapsed() + jiff::SignedDuration::from_secs(self.skew)
    }

    pub fn picture(&self) -> Picture {
        let held = |proxy: &SimProxy| proxy.held().clone();
        Picture {
            swarm: self.swarm.iter().map(|(name, s)| (name.clone(), s.spec.clone())).collect(),
            registry: self.registry.clone(),
            proxies: self.proxies.iter().map(|(name, proxy)| (name.clone(), held(proxy))).collect(),
            containers: self.containers.values().sum(),
        }
    }

    /// The deployments of `daemon`, oldest first.
    pub fn deployments(&self, daemon: Daemon) -> BTreeSet<DeploymentId> {
        self.journals.get(&daemon).map(|known| known.keys().copied().collect()).unwrap_or_default()
    }
}
