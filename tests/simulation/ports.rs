//! The ports of a deployment, on the simulated world.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use verdigris::deploy::ports::{
    Answers, Clock, Door, EventLog, GateContext, GateError, Gates, Journal, JunitFile, Leases,
    Output, PortError, PortResult, PortWanted, Proxies, ProxyViews, Registry, Swarm, SwarmSnapshot,
    Tenure, Trouble, World,
};
use verdigris::deploy::record::{Journalled, Record};
use verdigris::deploy::saga::State;
use verdigris::model::{
    Backend, Colour, DeploymentId, Event, Gate, ImageRef, PinnedImage, Release, ServiceName,
    ServiceRecord, ServiceView, Step, Task, TaskState, Workload,
};

use crate::world::{Behaviour, Daemon, Part, Sim, SimTask, Truth};

impl Sim {
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
}

impl Clock for Sim {
    fn now(&self) -> Timestamp {
        self.truth().now()
    }
}

fn as_task(task: &SimTask, current: &str) -> Task {
    let state = match task.behaviour {
        _ if task.died => TaskState::Failed,
        _ if task.stopped => TaskState::Stopped,
        _ if task.born.elapsed() < task.starts_after => TaskState::Starting,
        Behaviour::Good => TaskState::Running,
        Behaviour::Exits | Behaviour::Rejected => TaskState::Failed,
    };
    Task {
        id: task.id.clone(),
        slot: 1,
        node: "n1".to_owned(),
        state,
        rejected: task.behaviour == Behaviour::Rejected,
        wanted: !task.stopped,
        error: String::new(),
        exit_code: (task.behaviour == Behaviour::Exits).then_some(1),
        container: Some(task.id.clone()),
        current: task.deployment == current,
        address: task.up().then(|| ([10, 0, 0, 1], task.port).into()),
    }
}

#[async_trait]
impl Swarm for Sim {
    async fn resolve(&self, image: &ImageRef) -> PortResult<PinnedImage> {
        let digest = format!("sha256:{:064x}", image.to_string().len());
        self.act("resolve", |_| Ok(image.pin(&digest))).await
    }

    async fn preflight(&self, _: &Workload) -> PortResult<Vec<String>> {
        self.act("preflight", |_| Ok(Vec::new())).await
    }

    async fn snapshot(&self, name: &str) -> PortResult<Option<SwarmSnapshot>> {
        self.act("snapshot", |truth| {
            let spec = truth.swarm.get(name).map(|service| service.spec.clone());
            Ok(spec.map(|spec| SwarmSnapshot { name: name.to_owned(), spec }))
        })
        .await
    }

    async fn start(
        &self,
        release: &Release,
        colour: Colour,
        deployment: DeploymentId,
    ) -> PortResult<()> {
        self.act("start", |truth| {
            truth.start(release, colour, deployment);
            Ok(())
        })
        .await
    }

    async fn restore(&self, name: &str, before: Option<&SwarmSnapshot>) -> PortResult<()> {
        self.act("restore", |truth| {
            if truth.refuse_restore.as_deref() == Some(name) {
                let error = PortError::new(Trouble::Other, format!("remove `{name}`"));
                return Err(error.because("a task does not stop"));
            }
            match before {
                Some(before) => truth.put(name, before.spec.clone()),
                None => drop(truth.swarm.remove(name)),
            }
            Ok(())
        })
        .await
    }

    async fn scale(&self, name: &str, replicas: u64) -> PortResult<()> {
        self.act("scale", |truth| {
            let service = truth.swarm.get(name);
            let missing = || PortError::new(Trouble::NotFound, format!("scale `{name}`"));
            let mut spec = service.ok_or_else(missing)?.spec.clone();
            spec["Mode"] = json!({ "Replicated": { "Replicas": replicas } });
            truth.put(name, spec);
            Ok(())
        })
        .await
    }

    async fn tasks(&self, name: &str, _: PortWanted) -> PortResult<Vec<Task>> {
        self.act("tasks", |truth| {
            let Some(service) = truth.swarm.get(name) else { return Ok(Vec::new()) };
            let current = service.spec["Labels"]["verdigris.deployment"].as_str();
            let current = current.unwrap_or_default();
            Ok(service.tasks.iter().map(|task| as_task(task, current)).collect())
        })
        .await
    }

    async fn tail(&self, _: &Task, _: usize) -> Vec<String> {
        vec!["panic: out of patina".to_owned()]
    }

    async fn services(&self) -> PortResult<Vec<(ServiceName, Colour, SwarmSnapshot)>> {
        self.act("services", |truth| {
            if truth.says_nothing(Part::Swarm) {
                return Ok(Vec::new());
            }
            let found = truth.swarm.iter().filter_map(|(name, service)| {
                let snapshot = SwarmSnapshot { name: name.clone(), spec: service.spec.clone() };
                let owner = snapshot.label("verdigris.service")?.parse().ok()?;
                let colour = snapshot.label("verdigris.colour")?.parse().ok()?;
                Some((owner, colour, snapshot))
            });
            Ok(found.collect())
        })
        .await
    }

    async fn events(&self) -> PortResult<BoxStream<'static, String>> {
        let events = stream::unfold(self.events(), |mut events| async move {
            events.changed().await.ok()?;
            Some((String::new(), events))
        });
        Ok(events.boxed())
    }
}

#[async_trait]
impl Registry for Sim {
    async fn read(&self, service: &ServiceName) -> PortResult<ServiceRecord> {
        self.act("read the registry", |truth| {
            let nothing = truth.says_nothing(Part::Registry);
            let held = truth.registry.get(service).filter(|_| !nothing);
            Ok(held.cloned().unwrap_or_default())
        })
        .await
    }

    async fn read_all(&self) -> PortResult<BTreeMap<ServiceName, ServiceRecord>> {
        self.act("read all of the registry", |truth| {
            let nothing = truth.says_nothing(Part::Registry);
            Ok(if nothing { BTreeMap::new() } else { truth.registry.clone() })
        })
        .await
    }

    async fn write(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<()> {
        let daemon = self.daemon;
        self.act("write the registry", |truth| {
            if !truth.passes(daemon, service) {
                return Err(PortError::new(Trouble::Superseded, "write the registry"));
            }
            if record.is_empty() {
                truth.registry.remove(service);
            } else {
                truth.registry.insert(service.clone(), record.clone());
            }
            Ok(())
        })
        .await
    }

    async fn changes(&self) -> PortResult<BoxStream<'static, ()>> {
        Ok(stream::pending().boxed())
    }
}

#[async_trait]
impl Leases for Sim {
    async fn take(&self, service: &ServiceName) -> PortResult<Tenure> {
        let daemon = self.daemon;
        {
            let truth = self.truth();
            let held = truth.leases.get(service).filter(|held| held.by == daemon);
            let believes = truth.believers.contains(&(daemon, service.clone()));
            if let Some(held) = held.filter(|_| believes && !truth.expired(daemon)) {
                return Ok(Tenure(held.tenure));
            }
        }
        self.act_whole("take the lease", |truth| {
            truth.lease(daemon, service).map(Tenure).map_err(|other| {
                let held = format!("daemon `{other:?}` deploys it");
                PortError::new(Trouble::Superseded, "take the lease").because(held)
            })
        })
        .await
    }

    async fn leave(&self, service: &ServiceName, _: bool) {
        let mut truth = self.truth();
        truth.believers.remove(&(self.daemon, service.clone()));
        if let Some(held) = truth.leases.get_mut(service).filter(|held| held.by == self.daemon) {
            held.locked = false;
        }
    }

    async fn left(&self) -> PortResult<Vec<ServiceName>> {
        let daemon = self.daemon;
        self.act("see which leases are left", |truth| {
            let left = truth.leases.iter().filter(|(service, held)| {
                let believes = truth.believers.contains(&(daemon, (*service).clone()));
                held.by == daemon && held.locked && !believes
            });
            Ok(left.map(|(service, _)| service.clone()).collect())
        })
        .await
    }

    async fn rival(&self, service: &ServiceName) -> PortResult<Option<String>> {
        let daemon = self.daemon;
        self.act("see who has the lease", |truth| {
            let held = truth.leases.get(service).filter(|held| held.locked && held.by != daemon);
            let held = held.filter(|held| !truth.expired(held.by));
            Ok(held.map(|held| format!("{:?}", held.by)))
        })
        .await
    }
}

fn refusal(what: &str) -> PortError {
    let mut error = PortError::new(Trouble::Invalid, what);
    error.details = vec!["[emerg] unexpected end of file".to_owned()];
    error
}

impl Sim {
    /// Act on each proxy by itself: a fault may leave them different.
    async fn on_each_proxy(
        &self,
        what: &str,
        act: impl Fn(&mut BTreeMap<ServiceName, ServiceView>) + Send + Sync,
    ) -> PortResult<()> {
        let names: Vec<String> = self.truth().proxies.keys().cloned().collect();
        for name in names {
            self.act(what, |truth| {
                act(truth.proxies.get_mut(&name).expect("it is there"));
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Proxies for Sim {
    async fn snapshot(&self, service: &ServiceName) -> PortResult<ProxyViews> {
        self.act("snapshot the proxies", |truth| {
            let views = truth.proxies.iter();
            Ok(views.map(|(name, views)| (name.clone(), views.get(service).cloned())).collect())
        })
        .await
    }

    async fn stage(&self, view: &ServiceView, colour: Colour, new: &[Backend]) -> PortResult<()> {
        if self.truth().refuse_stage {
            return Err(refusal("stage"));
        }
        self.on_each_proxy("stage", |views| {
            let had = views.entry(view.service.clone()).or_insert_with(|| view.clone());
            had.backends.insert(colour, new.to_vec());
        })
        .await
    }

    async fn flip(&self, service: &ServiceName, to: Colour, generation: u64) -> PortResult<()> {
        if self.truth().refuse_flip {
            return Err(refusal("flip"));
        }
        self.on_each_proxy("flip", |views| {
            let view = views.get_mut(service).expect("it was staged");
            view.live = Some(to);
            view.generation = generation;
        })
        .await
    }

    async fn restore(&self, service: &ServiceName, before: &ProxyViews) -> PortResult<()> {
        for (name, view) in before {
            self.act("restore a proxy", |truth| {
                let views = truth.proxies.get_mut(name).expect("it is there");
                match view {
                    Some(view) => drop(views.insert(service.clone(), view.clone())),
                    None => drop(views.remove(service)),
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn retire(&self, service: &ServiceName, colour: Colour) -> PortResult<()> {
        self.on_each_proxy("retire", |views| {
            if let Some(view) = views.get_mut(service) {
                view.backends.remove(&colour);
            }
        })
        .await
    }

    async fn refresh(
        &self,
        service: &ServiceName,
        colour: Colour,
        new: &[Backend],
    ) -> PortResult<()> {
        self.on_each_proxy("refresh", |views| {
            let Some(view) = views.get_mut(service) else { return };
            view.backends.insert(colour, new.to_vec());
            view.backends.retain(|_, backends| !backends.is_empty());
        })
        .await
    }

    async fn drained(&self, _: &ServiceName, _: Colour) -> PortResult<()> {
        self.act("drain", |_| Ok(())).await
    }

    async fn answers(&self, _: &ServiceName, _: Colour) -> PortResult<Answers> {
        self.act("count answers", |_| Ok(Answers::default())).await
    }

    fn doors(&self) -> Vec<Door> {
        Vec::new()
    }
}

#[async_trait]
impl Gates for Sim {
    async fn run(
        &self,
        gate: &Gate,
        context: &GateContext,
        output: Output<'_>,
        stop: &CancellationToken,
    ) -> Result<Vec<JunitFile>, GateError> {
        let id = context.deployment;
        self.act("run a gate", |truth| {
            *truth.containers.entry(id).or_default() += 1;
            Ok(())
        })
        .await?;
        output("testing");
        let hangs = gate.name.contains("hang");
        let stopped = if hangs {
            tokio::time::timeout(gate.timeout, stop.cancelled()).await.is_ok()
        } else {
            false
        };
        self.act("remove a gate", |truth| {
            truth.containers.remove(&id);
            Ok(())
        })
        .await?;
        match gate.name.as_str() {
            name if name.contains("fail") => {
                Err(GateError::Failed { reason: "exit code 1".into(), junit: Vec::new() })
            }
            _ if stopped => Err(GateError::Failed { reason: "stopped".into(), junit: Vec::new() }),
            _ if hangs => Err(GateError::TimedOut(gate.timeout)),
            _ => Ok(Vec::new()),
        }
    }

    async fn left(&self) -> PortResult<BTreeSet<DeploymentId>> {
        self.act("list test containers", |truth| Ok(truth.containers.keys().copied().collect()))
            .await
    }

    async fn clean(&self, deployment: DeploymentId) -> PortResult<()> {
        self.act("clean gates", |truth| {
            truth.containers.remove(&deployment);
            Ok(())
        })
        .await
    }
}

fn append(truth: &mut Truth, daemon: Daemon, id: DeploymentId, record: &Record) {
    let at = truth.now();
    let entries = truth.journals.entry(daemon).or_default().entry(id).or_default();
    let seq = entries.len() as u64;
    entries.push(Journalled { seq, at, record: record.clone() });
    if matches!(record, Record::Done { step: Step::Commit, .. }) {
        let state = State::replay(entries).expect("a journal that makes sense");
        let prepared = state.prepared().expect("it was prepared");
        truth.committed = Some((prepared.colour, prepared.release.id.to_string()));
    }
}

#[async_trait]
impl Journal for Sim {
    async fn append(&self, deployment: DeploymentId, records: &[Record]) -> PortResult<()> {
        let daemon = self.daemon;
        self.act_whole("append", |truth| {
            for record in records {
                append(truth, daemon, deployment, record);
            }
            Ok(())
        })
        .await
    }

    async fn read(&self, deployment: DeploymentId) -> PortResult<Vec<Journalled>> {
        Ok(self.with_journal(|journal| journal.get(&deployment).cloned()).unwrap_or_default())
    }

    async fn unfinished(&self) -> PortResult<Vec<DeploymentId>> {
        Ok(self.with_journal(|journal| {
            let open = journal.iter().filter(|(_, entries)| {
                !matches!(entries.last().map(|last| &last.record), Some(Record::Ended { .. }))
            });
            open.map(|(id, _)| *id).collect()
        }))
    }

    async fn recent(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> PortResult<Vec<DeploymentId>> {
        let is_of = |entries: &[Journalled]| {
            let Some(Record::Opened { request }) = entries.first().map(|first| &first.record)
            else {
                return false;
            };
            service.is_none_or(|service| request.service() == service)
        };
        Ok(self.with_journal(|journal| {
            let of_service = journal.iter().rev().filter(|(_, entries)| is_of(entries));
            of_service.map(|(id, _)| *id).take(limit).collect()
        }))
    }

    async fn sequence(&self, service: &ServiceName) -> PortResult<Option<u64>> {
        Ok(self.with_journal(|journal| {
            let opened = journal.values().filter_map(|entries| State::open(entries.first()?));
            let requests = opened.map(|state| state.request);
            let of_service = requests.filter(|request| request.service() == service);
            of_service.filter_map(|request| request.sequence).max()
        }))
    }
}

#[async_trait]
impl EventLog for Sim {
    async fn keep(&self, event: &Event) {
        self.truth().log.entry(event.deployment).or_default().push(event.clone());
    }

    async fn events(&self, deployment: DeploymentId) -> PortResult<Vec<Event>> {
        Ok(self.truth().log.get(&deployment).cloned().unwrap_or_default())
    }
}
