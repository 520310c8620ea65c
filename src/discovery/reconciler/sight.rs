//! What is there: the services of the Swarm, the instances that run, the colour with the traffic.

use std::collections::BTreeMap;

use crate::deploy::health::serving;
use crate::deploy::ports::{PortResult, Swarm, SwarmSnapshot, Trouble};
use crate::deploy::saga::{Progress, State};
use crate::discovery::compare::Seen;
use crate::model::{Colour, Instance, Registration, ReleaseId, ServiceName, Standing, Step};

/// The Swarm services of one service, by colour.
pub(super) type Colours = BTreeMap<Colour, SwarmSnapshot>;

/// The services of the Swarm by owner and colour.
pub(super) fn by_owner(
    services: Vec<(ServiceName, Colour, SwarmSnapshot)>,
) -> BTreeMap<ServiceName, Colours> {
    let mut by_owner: BTreeMap<ServiceName, Colours> = BTreeMap::new();
    for (service, colour, snapshot) in services {
        by_owner.entry(service).or_default().insert(colour, snapshot);
    }
    by_owner
}

/// The instances of `colours` that serve.
pub(super) async fn see(swarm: &dyn Swarm, colours: &Colours) -> PortResult<Seen> {
    let mut seen = Seen::default();
    for (colour, snapshot) in colours {
        let Some(port) = snapshot.port() else { continue };
        let tasks = match swarm.tasks(&snapshot.name, port).await {
            // It was removed since it was listed.
            Err(error) if error.trouble == Trouble::NotFound => continue,
            tasks => tasks?,
        };
        let instances = tasks.iter().filter_map(serving);
        let entries = instances.map(|instance| entry(instance, *colour, snapshot)).collect();
        seen.colours.insert(*colour, entries);
    }
    Ok(seen)
}

/// `instance` as the registry should hold it, but for its standing.
fn entry(instance: Instance, colour: Colour, snapshot: &SwarmSnapshot) -> Registration {
    Registration {
        instance,
        colour,
        standing: Standing::Idle,
        release: ReleaseId::from(snapshot.release().unwrap_or_default().to_owned()),
        image: snapshot.image().unwrap_or_default().to_owned(),
    }
}

/// As many instances of each colour were seen as it asks for.
pub(super) fn is_whole(colours: &Colours, seen: &Seen) -> bool {
    colours.iter().all(|(colour, wanted)| {
        let Some(entries) = seen.colours.get(colour) else { return true };
        wanted.replicas().is_none_or(|replicas| entries.len() as u64 >= replicas)
    })
}

/// The colour that has the traffic while the deployment in `state` is under way; none while it moves it,
/// and before it has looked.
pub(super) fn public(state: &State) -> Option<Colour> {
    let prepared = state.prepared()?;
    match state.steps.get(&Step::Switch) {
        None | Some(Progress::Undone) => prepared.live,
        Some(Progress::Done(_)) if !state.reverting() => Some(prepared.colour),
        Some(_) => None,
    }
}
