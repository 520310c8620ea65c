use crate::deploy::history::{self, Committed, Doubt};
use crate::deploy::ports::{PortError, PortResult, Trouble, World};
use crate::model::{Draft, Kind, Release, Request, ServiceName, Workload};

/// How many committed deployments a rollback may look back over.
const PAST: usize = 10;

/// What is to run.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    /// Something new, whose image is to be resolved.
    New(&'a Draft),
    /// What was live once.
    Earlier(&'a Release),
}

impl<'a> Wanted<'a> {
    /// What `kind` asks for, given the service's past.
    pub fn of(kind: &'a Kind, past: &'a [Committed]) -> PortResult<Self> {
        match kind {
            Kind::Deploy { draft } => Ok(Self::New(draft)),
            Kind::Rollback { service, release } => {
                let found = goes_back_to(release.as_deref(), past).map(Self::Earlier);
                found.ok_or_else(|| not_found(service, release.as_deref()))
            }
        }
    }

    pub fn workload(self) -> &'a Workload {
        match self {
            Self::New(draft) => &draft.workload,
            Self::Earlier(release) => &release.workload,
        }
    }

    /// The release that it is, with its image pinned.
    pub async fn release(self, world: &World) -> PortResult<Release> {
        match self {
            Self::New(draft) => {
                let image = world.swarm.resolve(&draft.image).await?;
                Ok(draft.clone().pin(image))
            }
            Self::Earlier(release) => Ok(release.clone()),
        }
    }
}

/// As many of the committed deployments, newest first, as `request` is about: a deployment is about the
/// last, a rollback about all down to the one that it goes back to.
pub(super) async fn past(world: &World, request: &Request) -> PortResult<Vec<Committed>> {
    let enough = |found: &[Committed]| match &request.kind {
        Kind::Deploy { .. } => !found.is_empty(),
        Kind::Rollback { release, .. } => {
            found.len() >= PAST || goes_back_to(release.as_deref(), found).is_some()
        }
    };
    let doubt = match &request.kind {
        // It is found by its name, whatever came after it.
        Kind::Rollback { release: Some(_), .. } => Doubt::IsPassedOver,
        Kind::Rollback { release: None, .. } | Kind::Deploy { .. } => Doubt::Ends,
    };
    // Its own, that of what is live, and for a rollback that of what was before are what it usually needs.
    let at_once = match request.kind {
        Kind::Deploy { .. } => 2,
        Kind::Rollback { .. } => 3,
    };
    history::committed_until(&*world.journal, request.service(), at_once, doubt, enough).await
}

/// The release whose id begins as `wanted`, or else the last that is another one than the live one.
fn goes_back_to<'a>(wanted: Option<&str>, past: &'a [Committed]) -> Option<&'a Release> {
    let live = past.first().map(|last| &last.prepared.release.id);
    let fits = |release: &&Release| match wanted {
        Some(wanted) => release.id.as_str().starts_with(wanted),
        None => live.is_some_and(|live| release.id != *live),
    };
    past.iter().map(|past| &past.prepared.release).find(fits)
}

fn not_found(service: &ServiceName, wanted: Option<&str>) -> PortError {
    let what =
        wanted.map_or_else(|| "an earlier release".to_owned(), |id| format!("release `{id}`"));
    PortError::new(Trouble::Invalid, format!("find {what} of `{service}` to roll back to"))
        .remedy(format!("see `verdigris history {service}` for the releases that are on record"))
}
