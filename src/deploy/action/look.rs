use std::collections::BTreeMap;

use futures_util::future::{join, try_join, try_join3};

use super::obstacles::{clashes, foreign};
use super::wanted::{Wanted, past};
use crate::deploy::health::{Verdict, judge};
use crate::deploy::history::Committed;
use crate::deploy::ledger;
use crate::deploy::ports::{
    Origin, PortResult, PortWanted, ProxyViews, SwarmSnapshot, Tenure, Trouble, World,
};
use crate::deploy::record::{Before, Prepared};
use crate::model::{
    Colour, Instance, Kind, Release, Request, Route, ServiceName, ServiceRecord, ServiceView, Task,
};

/// What a look at the world found, before anything is touched.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What would be done, and how everything stands.
    pub prepared: Prepared,
    /// The release that is live now, by its Swarm service's label.
    pub from: Option<String>,
    /// In what its Swarm service is not what was committed any more, where that is the release wanted.
    pub edits: Vec<String>,
    /// What would keep the deployment from succeeding.
    pub problems: Vec<String>,
}

impl Finding {
    /// That very release is live already, as it was committed. The label alone does not say so: it stays
    /// when somebody changes replicas or image by hand.
    #[must_use]
    pub fn unchanged(&self) -> bool {
        self.from.as_deref() == Some(self.prepared.release.id.as_str()) && self.edits.is_empty()
    }
}

/// Look at everything that a deployment needs to know, each as soon as it is known what to ask for.
pub async fn look(world: &World, request: &Request) -> PortResult<Finding> {
    let service = request.service();
    let (swarm, (known, asked)) = try_join(snapshots(world, service), async {
        let known = Known::of(world, request).await?;
        let asked = known.ask(world, request).await?;
        Ok((known, asked))
    })
    .await?;
    let Known { live, colour, record, others, proxies, .. } = known;
    let Asked { release, obstacles, candidates } = asked;
    let of = |colour| swarm.get(&colour).and_then(Option::as_ref);
    // A release that the public was led to and that nobody committed is not live on record.
    let committed = live.filter(|live| record.colour.is_none_or(|colour| colour == *live));
    let from = committed.and_then(of).and_then(SwarmSnapshot::release).map(str::to_owned);
    let edits = match (committed, committed.and_then(of)) {
        (Some(live), Some(there)) => edits(world, &release, live, there),
        _ => Vec::new(),
    };
    let (answering, tasks) = candidates.map_or((false, None), |found| (found.answer, found.tasks));
    let instances = still_running(world, &release, colour, of(colour), tasks).await?;
    let mut problems = match obstacles {
        Some(found) => found,
        // Nothing is started that anything could stand in the way of.
        None if instances.is_some() => Vec::new(),
        None => world.swarm.preflight(&release.workload).await?,
    };
    problems.extend(foreign(swarm.values().flatten()));
    problems.extend(clashes(service, release.policy.route.as_ref(), &others));
    let running = instances.is_some();
    let instances = instances.unwrap_or_default();
    let before = Before { swarm, registry: record, proxies };
    let tenure = Tenure::default();
    let mut prepared =
        Prepared { release, colour, live, running, instances, in_place: false, before, tenure };
    prepared.in_place = running && answering && ledger::is_registered(&prepared);
    Ok(Finding { prepared, from, edits, problems })
}

/// The same with what the proxies would refuse now. A deployment asks them at `stage`: until then it may be
/// put right.
pub async fn foresee(world: &World, request: &Request) -> PortResult<Finding> {
    let mut found = look(world, request).await?;
    let prepared = &found.prepared;
    if let Some(rule) = &prepared.release.policy.route
        && !prepared.in_place
        && (request.force || !found.unchanged())
    {
        let new = matches!(request.kind, Kind::Deploy { .. });
        found.problems.extend(world.proxies.obstacles(rule, new).await);
    }
    Ok(found)
}

/// How a service stands by what was recorded of it.
struct Known {
    past: Vec<Committed>,
    record: ServiceRecord,
    others: BTreeMap<ServiceName, ServiceRecord>,
    proxies: ProxyViews,
    live: Option<Colour>,
    /// The idle one.
    colour: Colour,
}

/// What is asked for once that is known.
struct Asked {
    release: Release,
    /// What would keep it from starting; none where it may run already.
    obstacles: Option<Vec<String>>,
    /// What runs as the idle colour, where that may be the release.
    candidates: Option<Candidates>,
}

/// The tasks of a colour that a rollback may go back to at once.
struct Candidates {
    tasks: Option<Vec<Task>>,
    /// Every proxy has the registered instances as idle, and they answer through it.
    answer: bool,
}

impl Known {
    async fn of(world: &World, request: &Request) -> PortResult<Self> {
        let service = request.service();
        let (past, (record, others), proxies) =
            try_join3(past(world, request), registry(world, service), async {
                let views = world.proxies.snapshot(service).await;
                views.map_err(|error| error.of(Origin::Proxy))
            })
            .await?;
        let live = unheard(&record, &proxies)
            .or_else(|| public(&record, &proxies))
            .or(record.colour)
            .or_else(|| past.first().map(|last| last.prepared.colour));
        let colour = live.map_or(Colour::Blue, Colour::other);
        Ok(Self { past, record, others, proxies, live, colour })
    }

    async fn ask(&self, world: &World, request: &Request) -> PortResult<Asked> {
        let wanted = Wanted::of(&request.kind, &self.past)?;
        match wanted {
            Wanted::Earlier(release) if self.record.of(self.colour).next().is_some() => {
                let candidates = self.candidates(world, release).await?;
                let candidates = Some(candidates);
                Ok(Asked { release: release.clone(), obstacles: None, candidates })
            }
            _ => {
                let preflight = world.swarm.preflight(wanted.workload());
                let (release, obstacles) = try_join(wanted.release(world), preflight).await?;
                Ok(Asked { release, obstacles: Some(obstacles), candidates: None })
            }
        }
    }

    /// What is registered as idle may be `release`, running still.
    async fn candidates(&self, world: &World, release: &Release) -> PortResult<Candidates> {
        let name = release.service.swarm_name(self.colour);
        let tasks = world.swarm.tasks(&name, PortWanted::of(&release.policy));
        let (tasks, answer) = join(tasks, self.answer(world, release)).await;
        let tasks = match tasks {
            // What is registered and gone will be noticed by others.
            Err(error) if error.trouble == Trouble::NotFound => None,
            tasks => Some(tasks?),
        };
        Ok(Candidates { tasks, answer })
    }

    async fn answer(&self, world: &World, release: &Release) -> bool {
        let Some(rule) = &release.policy.route else { return true };
        let entries = self.record.of(self.colour).map(|entry| &entry.instance);
        let backends = ledger::backends(entries);
        world.proxies.is_staged(&release.service, rule, self.colour, &backends).await
    }
}

/// The colour that another daemon has committed, where the proxies of this one are yet to hear of it:
/// what they lead to is the past, and what that daemon's proxies lead to must not be touched.
fn unheard(record: &ServiceRecord, proxies: &ProxyViews) -> Option<Colour> {
    let route = record.route.as_ref()?;
    let older = |view: &ServiceView| view.generation < route.generation;
    let committed = route.live().filter(|live| record.colour == Some(*live));
    committed.filter(|_| proxies.values().flatten().all(older))
}

/// The colour that the public is led to, where proxies or else the route are clear about it. It can be
/// another one than the registry's while a deployment of another daemon was left in its midst: the
/// colour that must not be touched is the one with the traffic.
fn public(record: &ServiceRecord, proxies: &ProxyViews) -> Option<Colour> {
    let mut led = proxies.values().flatten().filter_map(|view| view.live);
    let first = led.next();
    let unanimous = first.filter(|first| led.all(|colour| colour == *first));
    unanimous.or_else(|| record.route.as_ref().and_then(Route::live))
}

async fn registry(
    world: &World,
    service: &ServiceName,
) -> PortResult<(ServiceRecord, BTreeMap<ServiceName, ServiceRecord>)> {
    let all = world.registry.read_all().await;
    let mut all = all.map_err(|error| error.of(Origin::Registry))?;
    let own = all.remove(service).unwrap_or_default();
    Ok((own, all))
}

async fn snapshots(
    world: &World,
    service: &ServiceName,
) -> PortResult<BTreeMap<Colour, Option<SwarmSnapshot>>> {
    let blue = service.swarm_name(Colour::Blue);
    let green = service.swarm_name(Colour::Green);
    let (blue, green) = try_join(world.swarm.snapshot(&blue), world.swarm.snapshot(&green)).await?;
    Ok(BTreeMap::from([(Colour::Blue, blue), (Colour::Green, green)]))
}

/// What was changed by hand of the Swarm service that is labelled with `release`.
fn edits(world: &World, release: &Release, colour: Colour, there: &SwarmSnapshot) -> Vec<String> {
    if there.release() != Some(release.id.as_str()) {
        return Vec::new();
    }
    world.swarm.edits(release, colour, there)
}

/// The instances of the idle colour, if it runs this very release, with all its replicas, and as it was
/// made: a switch back is instant.
async fn still_running(
    world: &World,
    release: &Release,
    colour: Colour,
    snapshot: Option<&SwarmSnapshot>,
    tasks: Option<Vec<Task>>,
) -> PortResult<Option<Vec<Instance>>> {
    let Some(snapshot) = snapshot else { return Ok(None) };
    let replicas = release.workload.replicas;
    if snapshot.release() != Some(release.id.as_str())
        || snapshot.replicas() != Some(replicas.into())
        || !world.swarm.edits(release, colour, snapshot).is_empty()
    {
        return Ok(None);
    }
    let mut tasks = match tasks {
        Some(tasks) => tasks,
        None => world.swarm.tasks(&snapshot.name, PortWanted::of(&release.policy)).await?,
    };
    // What the colour went through earlier is no verdict on it now.
    tasks.retain(|task| task.wanted);
    Ok(match judge(&tasks, replicas) {
        Verdict::Up(instances) => Some(instances),
        Verdict::Coming(_) | Verdict::Down(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RouteRule;

    /// A proxy that follows a route of `generation` to `live`.
    fn follows(generation: u64, live: Colour) -> ProxyViews {
        let rule = RouteRule { hosts: Vec::new(), path: "/".to_owned(), tls: false };
        let service = "books".parse().unwrap();
        let view =
            ServiceView { service, rule, live: Some(live), generation, backends: BTreeMap::new() };
        BTreeMap::from([("edge".to_owned(), Some(view))])
    }

    /// The registry names `colour`, and has a route of `generation` to `live`.
    fn record(colour: Colour, generation: u64, live: Colour) -> ServiceRecord {
        let weights = BTreeMap::from([(live, 100)]);
        let route = Route { generation, rule: None, weights, releases: BTreeMap::new() };
        ServiceRecord { colour: Some(colour), route: Some(route), ..ServiceRecord::default() }
    }

    #[test]
    fn what_another_daemon_committed_counts_before_the_proxies_have_heard_of_it() {
        let record = record(Colour::Green, 2, Colour::Green);
        assert_eq!(unheard(&record, &follows(1, Colour::Blue)), Some(Colour::Green));
    }

    #[test]
    fn a_registry_that_was_put_back_or_is_torn_does_not_count_against_the_proxies() {
        let put_back = record(Colour::Green, 2, Colour::Green);
        for generation in [2, 3] {
            assert_eq!(unheard(&put_back, &follows(generation, Colour::Blue)), None);
        }
        let torn = record(Colour::Blue, 2, Colour::Green);
        assert_eq!(unheard(&torn, &follows(1, Colour::Blue)), None);
    }
}
