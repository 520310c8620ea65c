use std::collections::BTreeMap;

use futures_util::future::{try_join, try_join3};

use super::{Context, failed, stopped};
use crate::deploy::health::{Verdict, judge};
use crate::deploy::history::{self, Committed};
use crate::deploy::ports::{
    PortError, PortResult, PortWanted, ProxyViews, SwarmSnapshot, Tenure, Trouble, World,
};
use crate::deploy::record::{Before, Prepared, StepResult};
use crate::model::labels;
use crate::model::{
    Colour, Failure, FailureKind, Instance, Kind, Release, Request, Route, RouteRule, ServiceName,
    ServiceRecord, Step,
};

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

/// Look, decide the colour, take the *before* snapshot.
pub async fn prepare(context: &Context) -> Result<StepResult, Failure> {
    let request = &context.state.request;
    let tenure = super::hold(context).await.map_err(|error| failure(&error))?;
    let mut found = tokio::select! {
        () = context.stop.cancelled() => return Err(stopped(Step::Prepare)),
        found = look(&context.world, request) => {
            found.map_err(|error| failure(&error))?
        }
    };
    found.prepared.tenure = tenure;
    if found.unchanged() && !request.force {
        return Ok(StepResult::Unchanged);
    }
    if !found.problems.is_empty() {
        return Err(unfit(found.problems));
    }
    let Prepared { release, colour, .. } = &found.prepared;
    context
        .note(Step::Prepare, format!("`{colour}` gets {} (release {})", release.image, release.id));
    Ok(StepResult::Prepared(found.prepared))
}

fn failure(error: &PortError) -> Failure {
    let failure = failed(Step::Prepare, error);
    match error.trouble {
        Trouble::Invalid => Failure { kind: FailureKind::Invalid, ..failure },
        _ => failure,
    }
}

fn unfit(problems: Vec<String>) -> Failure {
    let message = match problems.as_slice() {
        [only] => only.clone(),
        all => format!("{} things stand in the way, {} first", all.len(), all[0]),
    };
    Failure {
        step: Step::Prepare,
        kind: FailureKind::Start,
        message,
        details: problems,
        remedy: Some("nothing was touched: put it right and deploy again".to_owned()),
    }
}

/// Look at everything that a deployment needs to know, all at once.
pub async fn look(world: &World, request: &Request) -> PortResult<Finding> {
    let service = request.service();
    let past = history::committed(&*world.journal, service, how_far(&request.kind)).await?;
    let (release, (record, others), (swarm, proxies)) = try_join3(
        release(world, request, &past),
        registry(world, service),
        try_join(snapshots(world, service), world.proxies.snapshot(service)),
    )
    .await?;
    let live = public(&record, &proxies)
        .or(record.colour)
        .or_else(|| past.first().map(|last| last.prepared.colour));
    let colour = live.map_or(Colour::Blue, Colour::other);
    let of = |colour| swarm.get(&colour).and_then(Option::as_ref);
    // A release that the public was led to and that nobody committed is not live on record.
    let committed = live.filter(|live| record.colour.is_none_or(|colour| colour == *live));
    let from = committed.and_then(of).and_then(SwarmSnapshot::release).map(str::to_owned);
    let (mut problems, instances) = try_join(
        world.swarm.preflight(&release.workload),
        still_running(world, &release, of(colour)),
    )
    .await?;
    problems.extend(foreign(swarm.values().flatten()));
    problems.extend(clashes(service, release.policy.route.as_ref(), &others));
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

/// How many committed deployments are looked back over: a deployment needs the last one only.
fn how_far(kind: &Kind) -> usize {
    match kind {
        Kind::Deploy { .. } => 1,
        Kind::Rollback { .. } => PAST,
    }
}

/// How many committed deployments a rollback may look back over.
const PAST: usize = 10;

async fn release(world: &World, request: &Request, past: &[Committed]) -> PortResult<Release> {
    match &request.kind {
        Kind::Deploy { draft } => {
            let image = world.swarm.resolve(&draft.image).await?;
            Ok(draft.clone().pin(image))
        }
        Kind::Rollback { service, release } => earlier(service, release.as_deref(), past),
    }
}

fn earlier(service: &ServiceName, wanted: Option<&str>, past: &[Committed]) -> PortResult<Release> {
    let live = past.first().map(|last| &last.prepared.release.id);
    let fits = |release: &Release| match wanted {
        Some(wanted) => release.id.as_str().starts_with(wanted),
        None => live.is_some_and(|live| release.id != *live),
    };
    let found = past.iter().map(|past| &past.prepared.release).find(|release| fits(release));
    found.cloned().ok_or_else(|| {
        let what =
            wanted.map_or_else(|| "an earlier release".to_owned(), |id| format!("release `{id}`"));
        PortError::new(Trouble::Invalid, format!("find {what} of `{service}` to roll back to"))
            .remedy(format!(
                "see `verdigris history {service}` for the releases that are on record"
            ))
    })
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

/// Swarm services that bear a colour's name but that Verdigris did not make.
fn foreign<'a>(snapshots: impl Iterator<Item = &'a SwarmSnapshot>) -> Vec<String> {
    snapshots
        .filter(|snapshot| snapshot.label(labels::MANAGED_BY) != Some(labels::VERDIGRIS))
        .map(|snapshot| {
            format!(
                "a Swarm service `{}` exists that Verdigris did not make: remove or rename it",
                snapshot.name
            )
        })
        .collect()
}

/// Other services that the public already reaches under the same host and path.
fn clashes(
    service: &ServiceName,
    rule: Option<&RouteRule>,
    others: &BTreeMap<ServiceName, ServiceRecord>,
) -> Vec<String> {
    let Some(rule) = rule else { return Vec::new() };
    let taken = |record: &ServiceRecord| {
        let theirs = record.route.as_ref()?.rule.as_ref()?;
        let host = theirs.hosts.iter().find(|host| rule.hosts.contains(host))?;
        (theirs.path == rule.path).then(|| host.clone())
    };
    others
        .iter()
        .filter(|(name, _)| *name != service)
        .filter_map(|(name, record)| Some((name, taken(record)?)))
        .map(|(name, host)| {
            format!("the route {host}{} belongs to service `{name}` already", rule.path)
        })
        .collect()
}

/// The instances of the idle colour, if it runs this very release with all its replicas: a switch back
/// is instant.
async fn still_running(
    world: &World,
    release: &Release,
    snapshot: Option<&SwarmSnapshot>,
) -> PortResult<Option<Vec<Instance>>> {
    let Some(snapshot) = snapshot else { return Ok(None) };
    let replicas = release.workload.replicas;
    if snapshot.release() != Some(release.id.as_str())
        || snapshot.replicas() != Some(replicas.into())
    {
        return Ok(None);
    }
    let mut tasks = world.swarm.tasks(&snapshot.name, PortWanted::of(&release.policy)).await?;
    // What the colour went through earlier is no verdict on it now.
    tasks.retain(|task| task.wanted);
    Ok(match judge(&tasks, replicas) {
        Verdict::Up(instances) => Some(instances),
        Verdict::Coming(_) | Verdict::Down(_) => None,
    })
}
