use crate::deploy::history::{self, Committed, Doubt, REACH};
use crate::deploy::ports::{PortError, PortResult, Trouble, World};
use crate::model::{Draft, Kind, Release, Request, ServiceName, Workload};

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
                let wanted = release.as_deref();
                match goes_back_to(wanted, past).as_slice() {
                    [] => Err(not_found(service, wanted)),
                    [only] => Ok(Self::Earlier(only)),
                    several => Err(ambiguous(service, wanted, several)),
                }
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
            found.len() >= usize::from(REACH)
                || is_clear(release.as_deref(), &goes_back_to(release.as_deref(), found))
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

/// The releases whose ids begin as `wanted`, each once; or else the last that is another one than the live
/// one.
fn goes_back_to<'a>(wanted: Option<&str>, past: &'a [Committed]) -> Vec<&'a Release> {
    let mut releases = past.iter().map(|past| &past.prepared.release);
    let Some(wanted) = wanted else {
        let live = past.first().map(|last| &last.prepared.release.id);
        return releases.find(|release| Some(&release.id) != live).into_iter().collect();
    };
    let mut found: Vec<&Release> = Vec::new();
    for release in releases.filter(|release| release.id.as_str().starts_with(wanted)) {
        if found.iter().all(|other| other.id != release.id) {
            found.push(release);
        }
    }
    found
}

/// Whether nothing that lies further back could make it another one.
fn is_clear(wanted: Option<&str>, found: &[&Release]) -> bool {
    found.iter().any(|release| wanted.is_none_or(|wanted| release.id.as_str() == wanted))
}

fn not_found(service: &ServiceName, wanted: Option<&str>) -> PortError {
    let what =
        wanted.map_or_else(|| "an earlier release".to_owned(), |id| format!("release `{id}`"));
    PortError::new(Trouble::Invalid, format!("find {what} of `{service}` to roll back to"))
        .remedy(format!("see `verdigris history {service}` for the releases that are on record"))
}

fn ambiguous(service: &ServiceName, wanted: Option<&str>, several: &[&Release]) -> PortError {
    let ids: Vec<&str> = several.iter().map(|release| release.id.as_str()).collect();
    let what = format!(
        "tell which release of `{service}` is meant: `{}` could be any of {}",
        wanted.unwrap_or_default(),
        ids.join(", ")
    );
    PortError::new(Trouble::Invalid, what).remedy("give more of the id")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::fixture::prepared;
    use crate::model::DeploymentId;
    use crate::model::fixture::draft;

    /// Committed releases with these ids, newest first.
    fn past(ids: &[&str]) -> Vec<Committed> {
        let committed = |id: &&str| {
            let mut prepared = prepared(draft());
            prepared.release.id = (*id).to_owned().into();
            Committed { deployment: DeploymentId::new(), prepared, retired: None }
        };
        ids.iter().map(committed).collect()
    }

    fn found(wanted: Option<&str>, ids: &[&str]) -> Result<String, String> {
        let service = "books-ms".parse().unwrap();
        let kind = Kind::Rollback { service, release: wanted.map(str::to_owned) };
        match Wanted::of(&kind, &past(ids)) {
            Ok(wanted) => match wanted {
                Wanted::Earlier(release) => Ok(release.id.to_string()),
                Wanted::New(_) => Err("a new one".to_owned()),
            },
            Err(error) => Err(error.chain()),
        }
    }

    #[test]
    fn a_rollback_goes_to_the_last_that_is_another_one() {
        assert_eq!(found(None, &["c3", "c3", "b2", "a1"]), Ok("b2".to_owned()));
        assert!(found(None, &["c3", "c3"]).is_err());
    }

    #[test]
    fn the_beginning_of_an_id_is_enough_while_it_fits_one_release() {
        assert_eq!(found(Some("a"), &["c3", "b2", "a1", "a1"]), Ok("a1".to_owned()));
        let why = found(Some("a"), &["c3", "a2", "a1"]).unwrap_err();
        assert!(why.contains("could be any of a2, a1"), "{why}");
        assert!(found(Some("d"), &["c3"]).is_err());
    }

    #[test]
    fn only_a_whole_id_saves_looking_further_back() {
        let past = past(&["c3", "a1"]);
        assert!(is_clear(Some("a1"), &goes_back_to(Some("a1"), &past)));
        assert!(!is_clear(Some("a"), &goes_back_to(Some("a"), &past)));
        assert!(is_clear(None, &goes_back_to(None, &past)));
    }
}
