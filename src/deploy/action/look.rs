use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{try_join, try_join_all};

use super::obstacles::{clashes, foreign, unserved};
use super::wanted::{Wanted, past};
use crate::deploy::health::{Verdict, judge};
use crate::deploy::history::Committed;
use crate::deploy::ledger;
use crate::deploy::ports::{
    Idle, Origin, PortResult, PortWanted, ProxyViews, SwarmSnapshot, Tenure, World,
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
    let proxies = world.proxies.snapshot(service).await;
    let proxies = proxies.map_err(|error| error.of(Origin::Proxy))?;
    let (mut seen, (known, asked)) = try_join(colours(world, request, &proxies), async {
        let known = Known::of(world, request, &proxies).await?;
        let asked = known.ask(world, request).await?;
        Ok((known, asked))
    })
    .await?;
    let Known { live, colour, standing, .. } = known;
    let Asked { release, obstacles } = asked;
    let answers = standing.answers(&release, colour);
    let Standing { record, others, .. } = standing;
    let tasks = seen.get_mut(&colour).and_then(|seen| seen.tasks.take());
    let snapshot = |colour| (colour, seen.remove(&colour).map(|seen| seen.snapshot));
    let swarm: BTreeMap<_, _> = Colour::BOTH.map(snapshot).into();
    let of = |colour| swarm.get(&colour).and_then(Option::as_ref);
    // A release that the public was led to and that nobody committed is not live on record.
    let committed = live.filter(|live| record.colour.is_none_or(|colour| colour == *live));
    let from = committed.and_then(of).and_then(SwarmSnapshot::release).map(str::to_owned);
    let edits = match (committed, committed.and_then(of)) {
        (Some(live), Some(there)) => edits(world, &release, live, there),
        _ => Vec::new(),
    };
    let instances = still_running(world, &release, colour, of(colour), tasks).await?;
    let mut problems = match obstacles {
        Some(found) => found,
        // Nothing is started that anything could stand in the way of.
        None if instances.is_some() => Vec::new(),
        None => world.swarm.preflight(&release.workload).await?,
    };
    problems.extend(foreign(swarm.values().flatten()));
    let rule = release.policy.route.as_ref();
    problems.extend(clashes(service, rule, &others));
    problems.extend(unserved(rule, &world.proxies.doors()));
    let running = instances.is_some();
    let instances = instances.unwrap_or_default();
    let before = Before { swarm, registry: record, proxies };
    let tenure = Tenure::default();
    let mut prepared =
        Prepared { release, colour, live, running, instances, in_place: false, before, tenure };
    prepared.in_place = running && answers && ledger::is_registered(&prepared);
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

/// How a service stands by all that was recorded of it.
struct Known {
    past: Vec<Committed>,
    standing: Standing,
    live: Option<Colour>,
    /// The idle one.
    colour: Colour,
}

/// How it stands by registry and proxies.
struct Standing {
    record: ServiceRecord,
    others: BTreeMap<ServiceName, ServiceRecord>,
    /// What each proxy has as idle; asked where a rollback may go back to it.
    idle: Option<Vec<Option<Idle>>>,
}

/// What is asked for once that is known.
struct Asked {
    release: Release,
    /// What would keep it from starting; none where it may run already.
    obstacles: Option<Vec<String>>,
}

/// A colour as Swarm has it.
struct Seen {
    snapshot: SwarmSnapshot,
    /// Those of its tasks that were asked for, if any were.
    tasks: Option<Vec<Task>>,
}

impl Known {
    async fn of(world: &World, request: &Request, proxies: &ProxyViews) -> PortResult<Self> {
        let standing = Standing::of(world, request);
        let (past, standing) = try_join(past(world, request), standing).await?;
        let committed = || past.first().map(|last| last.prepared.colour);
        let live = standing.live(proxies).or_else(committed);
        let colour = live.map_or(Colour::Blue, Colour::other);
        Ok(Self { past, standing, live, colour })
    }

    async fn ask(&self, world: &World, request: &Request) -> PortResult<Asked> {
        let wanted = Wanted::of(&request.kind, &self.past)?;
        match wanted {
            // It may run already.
            Wanted::Earlier(release) if self.standing.has(self.colour) => {
                Ok(Asked { release: release.clone(), obstacles: None })
            }
            _ => {
                let preflight = world.swarm.preflight(wanted.workload());
                let (release, obstacles) = try_join(wanted.release(world), preflight).await?;
                Ok(Asked { release, obstacles: Some(obstacles) })
            }
        }
    }
}

impl Standing {
    async fn of(world: &World, request: &Request) -> PortResult<Self> {
        let service = request.service();
        let idle = async {
            match request.kind {
                Kind::Rollback { .. } => Ok(Some(world.proxies.idle(service).await)),
                Kind::Deploy { .. } => Ok(None),
            }
        };
        let ((record, others), idle) = try_join(registry(world, service), idle).await?;
        Ok(Self { record, others, idle })
    }

    /// The live colour, as far as registry and proxies tell.
    fn live(&self, proxies: &ProxyViews) -> Option<Colour> {
        unheard(&self.record, proxies)
            .or_else(|| public(&self.record, proxies))
            .or(self.record.colour)
    }

    /// Something is registered as `colour`.
    fn has(&self, colour: Colour) -> bool {
        self.record.of(colour).next().is_some()
    }

    /// What is registered as the idle `colour` answers through every proxy, where it is to be served as
    /// `release` is.
    fn answers(&self, release: &Release, colour: Colour) -> bool {
        let Some(found) = &self.idle else { return false };
        // Without a rule, nobody is led to it.
        let Some(rule) = &release.policy.route else { return self.has(colour) };
        let backends = ledger::backends(self.record.of(colour).map(|entry| &entry.instance));
        let wanted = Some(Idle { colour, rule: rule.clone(), backends });
        found.iter().all(|idle| *idle == wanted)
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

/// What there is of both colours.
async fn colours(
    world: &World,
    request: &Request,
    proxies: &ProxyViews,
) -> PortResult<BTreeMap<Colour, Seen>> {
    let service = request.service();
    match request.kind {
        Kind::Deploy { .. } => {
            let snapshots = Colour::BOTH.map(async |colour| {
                let snapshot = world.swarm.snapshot(&service.swarm_name(colour)).await?;
                Ok(snapshot.map(|snapshot| (colour, Seen { snapshot, tasks: None })))
            });
            Ok(try_join_all(snapshots).await?.into_iter().flatten().collect())
        }
        // What it goes back to may run still: then it is what the proxies have as idle.
        Kind::Rollback { .. } => {
            let found = world.swarm.look_among(service, &idle_tasks(proxies)).await?.into_iter();
            let seen = |(snapshot, tasks)| Seen { snapshot, tasks: Some(tasks) };
            Ok(found.map(|(colour, found)| (colour, seen(found))).collect())
        }
    }
}

/// The tasks that the proxies have as idle.
fn idle_tasks(proxies: &ProxyViews) -> BTreeSet<String> {
    let idle = |view: &ServiceView| {
        let of = view.live.map(Colour::other).map(|colour| view.of(colour).to_vec());
        of.unwrap_or_default()
    };
    proxies.values().flatten().flat_map(idle).map(|backend| backend.task).collect()
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
    let up = |mut tasks: Vec<Task>| {
        // What the colour went through earlier is no verdict on it now.
        tasks.retain(|task| task.wanted);
        match judge(&tasks, replicas) {
            Verdict::Up(instances) => Some(instances),
            Verdict::Coming(_) | Verdict::Down(_) => None,
        }
    };
    if let Some(instances) = tasks.and_then(up) {
        return Ok(Some(instances));
    }
    // They may be others than were known.
    Ok(up(world.swarm.tasks(&snapshot.name, PortWanted::of(&release.policy)).await?))
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
        let route =
            Route { generation, rule: None, gives_up: None, weights, releases: BTreeMap::new() };
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
