//! The simulated world: what is true in it, how it changes, and what must hold at every instant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use verdigris::deploy::ports::{PortError, PortResult, Trouble};
use verdigris::deploy::record::Journalled;
use verdigris::model::{
    Colour, DeploymentId, Event, Release, ServiceName, ServiceRecord, ServiceView, labels,
};

/// The journals of one daemon.
pub type Journals = BTreeMap<DeploymentId, Vec<Journalled>>;

/// How a release behaves; the word stands in its image's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    Good,
    Exits,
    Rejected,
}

pub struct SimTask {
    pub id: String,
    pub port: u16,
    pub born: Instant,
    pub starts_after: Duration,
    pub behaviour: Behaviour,
    pub deployment: String,
    /// Swarm asked it to stop, or it is gone.
    pub stopped: bool,
    /// It died by itself: proxies may still lead to it until that is noticed.
    pub died: bool,
}

impl SimTask {
    pub fn up(&self) -> bool {
        !self.stopped
            && self.behaviour == Behaviour::Good
            && self.born.elapsed() >= self.starts_after
    }
}

pub struct SimService {
    pub spec: Value,
    pub tasks: Vec<SimTask>,
}

/// The daemon under test, and another one with a state directory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Daemon {
    Ours,
    Rival,
}

/// A part of the world that can be away by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Registry,
    Swarm,
    Other,
}

/// A lease: whose it is, or was last.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub by: Daemon,
    pub tenure: u64,
    pub locked: bool,
}

/// How long a session lives without being renewed.
pub const TTL: Duration = Duration::from_secs(15);

/// All that the daemon leaves behind: compared before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    pub swarm: BTreeMap<String, Value>,
    pub registry: BTreeMap<ServiceName, ServiceRecord>,
    pub proxies: BTreeMap<String, BTreeMap<ServiceName, ServiceView>>,
    pub containers: usize,
}

pub struct Truth {
    pub rng: fastrand::Rng,
    pub start: (Instant, Timestamp),
    pub swarm: BTreeMap<String, SimService>,
    pub registry: BTreeMap<ServiceName, ServiceRecord>,
    pub proxies: BTreeMap<String, BTreeMap<ServiceName, ServiceView>>,
    pub containers: BTreeMap<DeploymentId, usize>,
    pub journals: BTreeMap<Daemon, Journals>,
    pub log: BTreeMap<DeploymentId, Vec<Event>>,
    /// Who has which service, and who believes to.
    pub leases: BTreeMap<ServiceName, Held>,
    pub believers: BTreeSet<(Daemon, ServiceName)>,
    /// The daemon under test is stopped for a while, as by SIGSTOP.
    pub pause: Option<(Instant, Instant)>,
    /// Since when each daemon's session lives.
    pub sessions: BTreeMap<Daemon, Instant>,
    /// The wall clock is wrong by so much, in seconds.
    pub skew: i64,
    /// Who answers nothing until when.
    pub away: BTreeMap<Part, Instant>,
    /// What was committed last, by any daemon.
    pub committed: Option<(Colour, String)>,
    /// The daemon's life; acts of an earlier one have no effect.
    pub life: u64,
    /// Acts so far, and the acts at which the daemon is killed.
    pub acts: u64,
    pub kills: Vec<u64>,
    /// Acts that still fail, and how many in a hundred do.
    pub faults_left: u32,
    pub fault_rate: u32,
    /// A proxy refuses to stage, or to flip.
    pub refuse_stage: bool,
    pub refuse_flip: bool,
    /// The Swarm does not get this service back to what it was.
    pub refuse_restore: Option<String>,
    /// Who answers, and says that there is nothing, until when.
    pub empty: BTreeMap<Part, Instant>,
    pub violations: Vec<String>,
    /// Tasks that died by themselves so far.
    pub deaths: u32,
    next: u16,
}

/// Acts in which a stopped daemon is held up.
const STOPPABLE: [&str; 4] = ["append", "write the registry", "read the registry", "run a gate"];

/// A handle on the world, of one life of the daemon.
#[derive(Clone)]
pub struct Sim {
    truth: Arc<Mutex<Truth>>,
    pub daemon: Daemon,
    life: u64,
    killed: watch::Sender<u64>,
    events: watch::Sender<u64>,
}

impl Sim {
    pub fn new(seed: u64) -> Self {
        let start = (Instant::now(), "2026-01-01T00:00:00Z".parse().expect("a timestamp"));
        let proxies = ["edge-haproxy", "edge-nginx"];
        let truth = Truth {
            rng: fastrand::Rng::with_seed(seed),
            start,
            swarm: BTreeMap::new(),
            registry: BTreeMap::new(),
            proxies: proxies.into_iter().map(|name| (name.to_owned(), BTreeMap::new())).collect(),
            containers: BTreeMap::new(),
            journals: BTreeMap::new(),
            leases: BTreeMap::new(),
            believers: BTreeSet::new(),
            pause: None,
            sessions: BTreeMap::new(),
            skew: 0,
            away: BTreeMap::new(),
            committed: None,
            log: BTreeMap::new(),
            life: 0,
            acts: 0,
            kills: Vec::new(),
            faults_left: 0,
            fault_rate: 0,
            refuse_stage: false,
            refuse_flip: false,
            refuse_restore: None,
            empty: BTreeMap::new(),
            violations: Vec::new(),
            deaths: 0,
            next: 0,
        };
        Self {
            truth: Arc::new(Mutex::new(truth)),
            daemon: Daemon::Ours,
            life: 0,
            killed: watch::channel(0).0,
            events: watch::channel(0).0,
        }
    }

    /// Something happens in the Swarm now and then.
    pub fn events(&self) -> watch::Receiver<u64> {
        self.events.subscribe()
    }

    /// One running task dies; Swarm starts another in its place.
    pub fn let_one_die(&self) {
        let mut truth = self.truth();
        let names: Vec<String> = truth.swarm.keys().cloned().collect();
        let Some(name) = truth.rng.choice(&names).cloned() else { return };
        let spec = truth.swarm[&name].spec.clone();
        let service = truth.swarm.get_mut(&name).expect("it is there");
        let Some(task) = service.tasks.iter_mut().find(|task| task.up()) else { return };
        (task.stopped, task.died) = (true, true);
        let replacement = truth.task(&spec);
        truth.swarm.get_mut(&name).expect("it is there").tasks.push(replacement);
        truth.deaths += 1;
        drop(truth);
        self.events.send_modify(|count| *count += 1);
    }

    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().expect("no act panics")
    }

    /// The handle of the daemon's current life.
    pub fn reborn(&self) -> Self {
        let life = self.truth().life;
        Self { life, ..self.clone() }
    }

    /// Look at the journals of this daemon.
    pub fn with_journal<T>(&self, look: impl FnOnce(&Journals) -> T) -> T {
        look(self.truth().journals.entry(self.daemon).or_default())
    }

    /// The handle of another daemon.
    pub fn rival(&self) -> Self {
        Self { daemon: Daemon::Rival, ..self.clone() }
    }

    /// The life of the daemon that this handle belongs to.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Wait until the daemon of this life is killed.
    pub async fn killed(&self) {
        let mut killed = self.killed.subscribe();
        killed.wait_for(|life| *life > self.life).await.expect("the sender is held");
    }

    /// One act on the world: takes a while, may fail before or after its effect, may be the last
    /// thing that the daemon does.
    pub async fn act<T>(
        &self,
        what: &str,
        effect: impl FnOnce(&mut Truth) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        self.act_as(what, true, effect).await
    }

    /// An act that is done when it does not fail, and not done when it does: a transaction.
    pub async fn act_whole<T>(
        &self,
        what: &str,
        effect: impl FnOnce(&mut Truth) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        self.act_as(what, false, effect).await
    }

    async fn act_as<T>(
        &self,
        what: &str,
        may_half_fail: bool,
        effect: impl FnOnce(&mut Truth) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let micros = self.truth().rng.u64(0..3000);
        tokio::time::sleep(Duration::from_micros(micros)).await;
        self.wait_out_the_pause(what).await;
        if let Some(result) = self.strike(what, may_half_fail, effect) {
            return result;
        }
        // The daemon is dead: nothing goes on.
        std::future::pending().await
    }

    /// A daemon that is stopped goes on when it is woken. What it has begun at a proxy or the Swarm it
    /// has sent: these acts are not held up.
    async fn wait_out_the_pause(&self, what: &str) {
        if self.daemon == Daemon::Rival || !STOPPABLE.contains(&what) {
            return;
        }
        let until = self.truth().pause.map(|(_, until)| until);
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn strike<T>(
        &self,
        what: &str,
        may_half_fail: bool,
        effect: impl FnOnce(&mut Truth) -> PortResult<T>,
    ) -> Option<PortResult<T>> {
        let mut truth = self.truth();
        if self.daemon == Daemon::Rival {
            let result = effect(&mut truth);
            truth.check(what);
            return Some(result);
        }
        if truth.life != self.life {
            return None;
        }
        truth.acts += 1;
        if truth.away.get(&part_of(what)).is_some_and(|until| Instant::now() < *until) {
            return Some(Err(PortError::new(Trouble::Unreachable, what)));
        }
        let dies = truth.kills.contains(&truth.acts);
        if dies && truth.rng.bool() {
            self.kill(&mut truth);
            return None;
        }
        let fails = truth.fails();
        if fails && (!may_half_fail || truth.rng.bool()) {
            return Some(Err(PortError::new(Trouble::Unreachable, what)));
        }
        let result = effect(&mut truth);
        truth.check(what);
        if dies {
            self.kill(&mut truth);
            return None;
        }
        Some(if fails { Err(PortError::new(Trouble::Unreachable, what)) } else { result })
    }

    fn kill(&self, truth: &mut Truth) {
        truth.life += 1;
        truth.believers.retain(|(daemon, _)| *daemon == Daemon::Rival);
        // Test containers die with nobody to remove them; they stay until they are cleaned.
        self.killed.send_replace(truth.life);
    }
}

fn part_of(what: &str) -> Part {
    match what {
        what if what.contains("registry") || what.contains("lease") => Part::Registry,
        "resolve" | "preflight" | "snapshot" | "start" | "restore" | "scale" | "tasks"
        | "services" => Part::Swarm,
        _ => Part::Other,
    }
}

impl Truth {
    /// Whether `part` says at the moment that there is nothing.
    pub fn says_nothing(&self, part: Part) -> bool {
        self.empty.get(&part).is_some_and(|until| Instant::now() < *until)
    }

    /// Whether the session of `daemon` was given up: nobody renewed it while the daemon was stopped.
    pub fn expired(&self, daemon: Daemon) -> bool {
        let Some((from, _)) = self.pause.filter(|_| daemon == Daemon::Ours) else { return false };
        let end = from + TTL;
        Instant::now() >= end && self.sessions.get(&daemon).is_none_or(|opened| *opened < end)
    }

    /// The lease on `service`, if `daemon` may have it.
    pub fn lease(&mut self, daemon: Daemon, service: &ServiceName) -> Result<u64, Daemon> {
        let had = self.leases.get(service).copied();
        let tenure = match had {
            Some(held) if held.by == daemon => held.tenure,
            Some(held) if held.locked && !self.expired(held.by) => return Err(held.by),
            Some(held) => held.tenure + 1,
            None => 0,
        };
        self.leases.insert(service.clone(), Held { by: daemon, tenure, locked: true });
        self.believers.insert((daemon, service.clone()));
        self.sessions.insert(daemon, Instant::now());
        Ok(tenure)
    }

    /// Whether a write of `service` by `daemon` passes its fence.
    pub fn passes(&self, daemon: Daemon, service: &ServiceName) -> bool {
        let believes = self.believers.contains(&(daemon, service.clone()));
        let has = self.leases.get(service).is_some_and(|held| held.locked && held.by == daemon);
        !believes || (has && !self.expired(daemon))
    }

    fn fails(&mut self) -> bool {
        let fails = self.faults_left > 0 && self.rng.u32(0..100) < self.fault_rate;
        if fails {
            self.faults_left -= 1;
        }
        fails
    }

    pub fn now(&self) -> Timestamp {
        self.start.1 + self.start.0.elapsed() + jiff::SignedDuration::from_secs(self.skew)
    }

    pub fn picture(&self) -> Picture {
        Picture {
            swarm: self.swarm.iter().map(|(name, s)| (name.clone(), s.spec.clone())).collect(),
            registry: self.registry.clone(),
            proxies: self.proxies.clone(),
            containers: self.containers.values().sum(),
        }
    }

    /// What must hold at every instant: whoever asks a proxy for a live service is answered.
    fn check(&mut self, what: &str) {
        let mut found = Vec::new();
        for (proxy, views) in &self.proxies {
            for (service, view) in views {
                let Some(live) = view.live else { continue };
                if view.of(live).is_empty() {
                    found.push(format!("after `{what}`: {proxy} has no backend for {service}"));
                }
                for backend in view.of(live) {
                    if !self.serves(&backend.task) {
                        found.push(format!(
                            "after `{what}`: {proxy} sends {service} to {}, which does not serve",
                            backend.task
                        ));
                    }
                }
            }
        }
        self.violations.extend(found);
    }

    fn serves(&self, task: &str) -> bool {
        let mut tasks = self.swarm.values().flat_map(|service| &service.tasks);
        tasks.any(|t| t.id == task && (t.up() || t.died))
    }

    /// The tasks that serve, by Swarm service.
    pub fn serving(&self, name: &str) -> BTreeSet<String> {
        let tasks = self.swarm.get(name).map(|service| service.tasks.iter());
        tasks.into_iter().flatten().filter(|task| task.up()).map(|task| task.id.clone()).collect()
    }

    pub fn start(&mut self, release: &Release, colour: Colour, deployment: DeploymentId) {
        let name = release.service.swarm_name(colour);
        let replicas = release.workload.replicas;
        let spec = json!({
            "Name": name,
            "Labels": {
                labels::MANAGED_BY: labels::VERDIGRIS,
                labels::SERVICE: release.service,
                labels::COLOUR: colour,
                labels::RELEASE: release.id,
                labels::DEPLOYMENT: deployment,
                labels::PORT: release.policy.port.to_string(),
                labels::PUBLISH: "host",
            },
            "Mode": { "Replicated": { "Replicas": replicas } },
            "TaskTemplate": { "ContainerSpec": { "Image": release.image.reference() } },
        });
        self.put(&name, spec);
    }

    /// The Swarm makes the service as `spec` says, as Swarm does: tasks only change when it does.
    pub fn put(&mut self, name: &str, spec: Value) {
        let old = self.swarm.get(name).map(|service| service.spec.clone());
        if old.as_ref() == Some(&spec) {
            return;
        }
        let template = |spec: &Value| (spec["TaskTemplate"].clone(), spec["Labels"].clone());
        let same_template = old.as_ref().is_some_and(|old| template(old) == template(&spec));
        let mut tasks = self.swarm.remove(name).map(|service| service.tasks).unwrap_or_default();
        if !same_template {
            for task in &mut tasks {
                task.stopped = true;
            }
        }
        let wanted = spec.pointer("/Mode/Replicated/Replicas").and_then(Value::as_u64).unwrap_or(0);
        let running = tasks.iter().filter(|task| !task.stopped).count();
        for task in
            tasks.iter_mut().filter(|t| !t.stopped).skip(usize::try_from(wanted).expect("few"))
        {
            task.stopped = true;
        }
        for _ in running..usize::try_from(wanted).expect("few") {
            tasks.push(self.task(&spec));
        }
        self.swarm.insert(name.to_owned(), SimService { spec, tasks });
    }

    fn task(&mut self, spec: &Value) -> SimTask {
        self.next += 1;
        let image = spec.pointer("/TaskTemplate/ContainerSpec/Image").and_then(Value::as_str);
        let behaviour = match image.unwrap_or_default() {
            image if image.contains("exits") => Behaviour::Exits,
            image if image.contains("rejected") => Behaviour::Rejected,
            _ => Behaviour::Good,
        };
        SimTask {
            id: format!("task{}", self.next),
            port: 30_000 + self.next,
            born: Instant::now(),
            starts_after: Duration::from_millis(self.rng.u64(1..800)),
            behaviour,
            deployment: spec["Labels"][labels::DEPLOYMENT].as_str().unwrap_or_default().to_owned(),
            stopped: false,
            died: false,
        }
    }
}
