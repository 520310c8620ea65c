//! The Swarm: services, and tasks that come up, are replaced, and die by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};
use tokio::time::Instant;
use verdigris::deploy::health::serving;
use verdigris::deploy::ports::{
    BothColours, Found, PortError, PortResult, PortWanted, Swarm, SwarmSnapshot, Tail, Trouble,
};
use verdigris::model::{
    Colour, DeploymentId, ImageRef, Instance, PinnedImage, Release, ServiceName, Task, TaskState,
    Workload, labels,
};

use super::act::Part;
use super::{Sim, Truth};

/// How a release behaves; the word stands in its image's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Good,
    Exits,
    Rejected,
}

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// Swarm was told to stop it.
    Stopped,
    /// By itself: proxies may lead to it until that is noticed.
    Died,
    /// With its node: Swarm has given it up, and knows no more than that it ran.
    Lost,
}

pub struct SimTask {
    pub id: String,
    port: u16,
    born: Instant,
    starts_after: Duration,
    behaviour: Behaviour,
    deployment: String,
    pub gone: Option<Gone>,
}

impl SimTask {
    pub fn up(&self) -> bool {
        self.gone.is_none()
            && self.behaviour == Behaviour::Good
            && self.born.elapsed() >= self.starts_after
    }

    fn state(&self) -> TaskState {
        match (self.gone, self.behaviour) {
            (Some(Gone::Died), _) => TaskState::Failed,
            (Some(Gone::Stopped), _) => TaskState::Stopped,
            _ if self.born.elapsed() < self.starts_after => TaskState::Starting,
            (None | Some(Gone::Lost), Behaviour::Good) => TaskState::Running,
            (_, Behaviour::Exits | Behaviour::Rejected) => TaskState::Failed,
        }
    }

    /// As the engine tells it; `current` is the deployment that its service is labelled with.
    fn told(&self, current: &str) -> Task {
        Task {
            id: self.id.clone(),
            slot: 1,
            node: "n1".to_owned(),
            state: self.state(),
            rejected: self.behaviour == Behaviour::Rejected,
            wanted: self.gone.is_none(),
            error: String::new(),
            exit_code: (self.behaviour == Behaviour::Exits).then_some(1),
            container: Some(self.id.clone()),
            current: self.deployment == current,
            address: self.up().then(|| ([10, 0, 0, 1], self.port).into()),
        }
    }
}

pub struct SimService {
    pub spec: Value,
    pub tasks: Vec<SimTask>,
}

impl Truth {
    /// The tasks that serve, by Swarm service.
    pub fn serving(&self, name: &str) -> BTreeSet<String> {
        let tasks = self.swarm.get(name).map(|service| service.tasks.iter());
        tasks.into_iter().flatten().filter(|task| task.up()).map(|task| task.id.clone()).collect()
    }

    /// Make the service of a colour run `release`.
    fn start(&mut self, release: &Release, colour: Colour, deployment: DeploymentId) {
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
        let wanted = spec.pointer("/Mode/Replicated/Replicas").and_then(Value::as_u64).unwrap_or(0);
        let wanted = usize::try_from(wanted).expect("few");
        let stays = if same_template { wanted } else { 0 };
        let there = tasks.iter_mut().filter(|task| task.gone.is_none());
        for task in there.skip(stays) {
            task.gone = Some(Gone::Stopped);
        }
        let running = tasks.iter().filter(|task| task.gone.is_none()).count();
        for _ in running..wanted {
            tasks.push(self.new_task(&spec));
        }
        self.swarm.insert(name.to_owned(), SimService { spec, tasks });
    }

    fn new_task(&mut self, spec: &Value) -> SimTask {
        self.next_task += 1;
        let image = spec.pointer("/TaskTemplate/ContainerSpec/Image").and_then(Value::as_str);
        let behaviour = match image.unwrap_or_default() {
            image if image.contains("exits") => Behaviour::Exits,
            image if image.contains("rejected") => Behaviour::Rejected,
            _ => Behaviour::Good,
        };
        SimTask {
            id: format!("task{}", self.next_task),
            port: 30_000 + self.next_task,
            born: Instant::now(),
            starts_after: Duration::from_millis(self.rng.u64(1..800)),
            behaviour,
            deployment: spec["Labels"][labels::DEPLOYMENT].as_str().unwrap_or_default().to_owned(),
            gone: None,
        }
    }

    /// One running task of `name` dies, and Swarm starts another in its place.
    fn die(&mut self, name: &str) {
        if self.end(name, Gone::Died) {
            self.add_task(name);
            self.look("a death");
        }
    }

    /// One running task of `name` ends, if there is one.
    fn end(&mut self, name: &str, gone: Gone) -> bool {
        let Some(service) = self.swarm.get_mut(name) else { return false };
        let Some(task) = service.tasks.iter_mut().find(|task| task.up()) else { return false };
        task.gone = Some(gone);
        self.deaths += 1;
        self.faults.trouble();
        true
    }

    fn add_task(&mut self, name: &str) {
        let spec = self.swarm[name].spec.clone();
        let task = self.new_task(&spec);
        self.swarm.get_mut(name).expect("it is there").tasks.push(task);
    }
}

impl Sim {
    /// One running task of `name` dies.
    pub fn let_die(&self, name: &str) {
        self.truth().die(name);
        self.events.send_modify(|count| *count += 1);
    }

    /// One running task of `name` is lost with its node, and there is no other node for it.
    pub fn let_go_missing(&self, name: &str) {
        assert!(self.truth().end(name, Gone::Lost), "none of `{name}` runs");
        self.events.send_modify(|count| *count += 1);
    }

    /// There is a node again for one that was lost.
    pub fn let_come(&self, name: &str) {
        self.truth().add_task(name);
        self.events.send_modify(|count| *count += 1);
    }

    /// One running task dies, whichever.
    pub fn let_one_die(&self) {
        let name = {
            let mut truth = self.truth();
            let names: Vec<String> = truth.swarm.keys().cloned().collect();
            truth.rng.choice(names)
        };
        name.iter().for_each(|name| self.let_die(name));
    }

    /// One running task of a release that is bad, though no gate says so, dies.
    pub fn let_one_sicken(&self) {
        let image = |spec: &Value| spec["TaskTemplate"]["ContainerSpec"]["Image"].to_string();
        let sick = {
            let truth = self.truth();
            let mut services = truth.swarm.iter();
            let sick = services.find(|(_, service)| image(&service.spec).contains("sick"));
            sick.map(|(name, _)| name.clone())
        };
        sick.iter().for_each(|name| self.let_die(name));
    }
}

impl Sim {
    /// What runs of each Swarm service, in one answer.
    async fn all_tasks(&self) -> PortResult<BTreeMap<String, Vec<Instance>>> {
        self.act("list all tasks", |truth| {
            if truth.says_nothing(Part::Swarm) {
                return Ok(BTreeMap::new());
            }
            let running = |service: &SimService| {
                service.tasks.iter().filter_map(|task| serving(&task.told(""))).collect()
            };
            Ok(truth.swarm.iter().map(|(name, service)| (name.clone(), running(service))).collect())
        })
        .await
    }
}

#[async_trait]
impl Swarm for Sim {
    async fn resolve(&self, image: &ImageRef) -> PortResult<PinnedImage> {
        self.act("resolve", |truth| {
            let content = image.to_string().len() + truth.pushes;
            Ok(image.pin(&format!("sha256:{content:064x}")))
        })
        .await
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
            truth.examine_act(self.daemon, "start", &release.service);
            truth.start(release, colour, deployment);
            Ok(())
        })
        .await
    }

    fn edits(&self, release: &Release, _: Colour, there: &SwarmSnapshot) -> Vec<String> {
        let replicas = release.workload.replicas;
        let mut edits = Vec::new();
        if there.replicas() != Some(replicas.into()) {
            edits.push(format!("{:?} replicas instead of {replicas}", there.replicas()));
        }
        if there.image() != Some(release.image.reference().as_str()) {
            edits.push(format!("image {:?} instead of {}", there.image(), release.image));
        }
        edits
    }

    async fn restore(&self, name: &str, before: Option<&SwarmSnapshot>) -> PortResult<()> {
        self.act("restore", |truth| {
            if truth.refuse_restore.as_deref() == Some(name) {
                let error = PortError::new(Trouble::Other, format!("remove `{name}`"));
                return Err(error.because("a task does not stop"));
            }
            truth.examine_act_on(self.daemon, "restore", name);
            match before {
                Some(before) => truth.put(name, before.spec.clone()),
                None => drop(truth.swarm.remove(name)),
            }
            Ok(())
        })
        .await?;
        let slow = self.truth().slow_to_stop;
        if let Some(slow) = slow.filter(|_| before.is_none()) {
            tokio::time::sleep(slow).await;
        }
        Ok(())
    }

    async fn scale(&self, name: &str, replicas: u64) -> PortResult<()> {
        self.act("scale", |truth| {
            let service = truth.swarm.get(name);
            let missing = || PortError::new(Trouble::NotFound, format!("scale `{name}`"));
            let mut spec = service.ok_or_else(missing)?.spec.clone();
            spec["Mode"] = json!({ "Replicated": { "Replicas": replicas } });
            truth.examine_act_on(self.daemon, "scale", name);
            truth.put(name, spec);
            Ok(())
        })
        .await
    }

    async fn tasks(&self, name: &str, _: PortWanted) -> PortResult<Vec<Task>> {
        self.act("tasks", |truth| {
            let Some(service) = truth.swarm.get(name) else { return Ok(Vec::new()) };
            let current = service.spec["Labels"][labels::DEPLOYMENT].as_str().unwrap_or_default();
            Ok(service.tasks.iter().map(|task| task.told(current)).collect())
        })
        .await
    }

    async fn look(&self, service: &ServiceName) -> PortResult<BothColours> {
        let mut found = BTreeMap::new();
        for colour in Colour::BOTH {
            let name = service.swarm_name(colour);
            let tasks = self.tasks(&name, PortWanted::Host(0));
            let (snapshot, mut tasks) = tokio::try_join!(self.snapshot(&name), tasks)?;
            tasks.retain(|task| task.wanted);
            found.extend(snapshot.map(|snapshot| (colour, (snapshot, tasks))));
        }
        Ok(found)
    }

    async fn look_among(
        &self,
        service: &ServiceName,
        among: &BTreeSet<String>,
    ) -> PortResult<BothColours> {
        let mut found = self.look(service).await?;
        let tasks = found.values_mut().map(|(_, tasks)| tasks);
        tasks.for_each(|tasks| tasks.retain(|task| among.contains(&task.id)));
        Ok(found)
    }

    async fn tail(&self, _: &Task, _: usize) -> Tail {
        Tail { lines: vec!["panic: out of patina".to_owned()], unhealthy: None }
    }

    async fn services(&self) -> PortResult<Vec<(ServiceName, Colour, SwarmSnapshot)>> {
        self.act("services", |truth| {
            if truth.says_nothing(Part::Swarm) {
                return Ok(Vec::new());
            }
            let found = truth.swarm.iter().filter_map(|(name, service)| {
                let snapshot = SwarmSnapshot { name: name.clone(), spec: service.spec.clone() };
                let owner = snapshot.label(labels::SERVICE)?.parse().ok()?;
                let colour = snapshot.label(labels::COLOUR)?.parse().ok()?;
                Some((owner, colour, snapshot))
            });
            Ok(found.collect())
        })
        .await
    }

    async fn survey(&self) -> PortResult<Vec<Found>> {
        let (services, running) = tokio::join!(self.services(), self.all_tasks());
        let running = running?;
        let found = services?.into_iter().map(|(service, colour, snapshot)| {
            let running = running.get(&snapshot.name).cloned().unwrap_or_default();
            Found { service, colour, snapshot, running: Some(running) }
        });
        Ok(found.collect())
    }

    async fn events(&self) -> PortResult<BoxStream<'static, String>> {
        let events = stream::unfold(self.events.subscribe(), |mut events| async move {
            events.changed().await.ok()?;
            Some((String::new(), events))
        });
        Ok(events.boxed())
    }
}
