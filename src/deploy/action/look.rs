use std::collections::BTreeMap;

use futures_util::future::{try_join, try_join3, try_join4};

use super::obstacles::{clashes, foreign};
use super::wanted::{Wanted, past};
use crate::deploy::health::{Verdict, judge};
use crate::deploy::ports::{
    PortResult, PortWanted, ProxyViews, SwarmSnapshot, Tenure, Trouble, World,
};
use crate::deploy::record::{Before, Prepared};
use crate::model::{Colour, Instance, Release, Request, Route, ServiceName, ServiceRecord, Task};

/// What a look at the world found, before anything is touched.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What would be done, and how everything stands.
    pub prepared: Prepared,
    /// The release that is live now, by its Swarm service's label.
    pub from: Option<String>,
    /// What would keep the deployment from succeeding.
    pub problems: Vec<String>,
}

impl Finding {
    /// That very release is live already.
    #[must_use]
    pub fn unchanged(&self) -> bool {
        self.from.as_deref() == Some(self.prepared.release.id.as_str())
    }
}

/// Look at everything that a deployment needs to know: first at how the service stands, which says what
/// else to ask for, then at that; each all at once.
pub async fn look(world: &World, request: &Request) -> PortResult<Finding> {
    let service = request.service();
    let (past, (record, others), proxies, swarm) = try_join4(
        past(world, request),
        registry(world, service),
        world.proxies.snapshot(service),
        snapshots(world, service),
    )
    .await?;
    let wanted = Wanted::of(&request.kind, &past)?;
    let live = public(&record, &proxies)
        .or(record.colour)
        .or_else(|| past.first().map(|last| last.prepared.colour));
    let colour = live.map_or(Colour::Blue, Colour::other);
    let name = service.swarm_name(colour);
    let (release, mut problems, tasks) = try_join3(
        wanted.release(world),
        world.swarm.preflight(wanted.workload()),
        likely_tasks(world, &name, wanted, record.of(colour).next().is_some()),
    )
    .await?;
    let of = |colour| swarm.get(&colour).and_then(Option::as_ref);
    // A release that the public was led to and that nobody committed is not live on record.
    let committed = live.filter(|live| record.colour.is_none_or(|colour| colour == *live));
    let from = committed.and_then(of).and_then(SwarmSnapshot::release).map(str::to_owned);
    problems.extend(foreign(swarm.values().flatten()));
    problems.extend(clashes(service, release.policy.route.as_ref(), &others));
    let instances = still_running(world, &release, of(colour), tasks).await?;
    let running = instances.is_some();
    let instances = instances.unwrap_or_default();
    let before = Before { swarm, registry: record, proxies };
    let tenure = Tenure::default();
    Ok(Finding {
        prepared: Prepared { release, colour, live, running, instances, before, tenure },
        from,
        problems,
    })
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
    let mut all = world.registry.read_all().await?;
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

/// The tasks of the idle colour, asked for before it is known whether they matter: they do when a
/// rollback goes back to a colour that is registered still.
async fn likely_tasks(
    world: &World,
    name: &str,
    wanted: Wanted<'_>,
    registered: bool,
) -> PortResult<Option<Vec<Task>>> {
    match wanted {
        Wanted::Earlier(release) if registered => {
            match world.swarm.tasks(name, PortWanted::of(&release.policy)).await {
                // What is registered and gone will be noticed by others.
                Err(error) if error.trouble == Trouble::NotFound => Ok(None),
                tasks => tasks.map(Some),
            }
        }
        _ => Ok(None),
    }
}

/// The instances of the idle colour, if it runs this very release with all its replicas: a switch back
/// is instant.
async fn still_running(
    world: &World,
    release: &Release,
    snapshot: Option<&SwarmSnapshot>,
    tasks: Option<Vec<Task>>,
) -> PortResult<Option<Vec<Instance>>> {
    let Some(snapshot) = snapshot else { return Ok(None) };
    let replicas = release.workload.replicas;
    if snapshot.release() != Some(release.id.as_str())
        || snapshot.replicas() != Some(replicas.into())
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
