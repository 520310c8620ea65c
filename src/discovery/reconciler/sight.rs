//! What is there: the services of the Swarm, the instances that run, and what is left to a deployment.

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

/// The colour that the deployment in `state` is changing, if it is: instances of the other are followed
/// as always. The new one until it has the traffic, and again once that is taken back; the old one after
/// the commit.
pub(super) fn busy_with(state: &State) -> Option<Colour> {
    let prepared = state.prepared()?;
    match state.steps.get(&Step::Switch) {
        _ if state.committed() => prepared.live,
        Some(Progress::Done(_)) => None,
        _ => Some(prepared.colour),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::fixture;
    use crate::deploy::record::{Record, StepResult};
    use crate::deploy::saga::after;
    use crate::model::{self, Failure, FailureKind};

    /// A deployment of green over blue with all done that has to be before `step`, and that.
    fn done(step: Step) -> State {
        let mut state = fixture::opened(model::fixture::draft());
        finish(&mut state, step);
        state
    }

    fn finish(state: &mut State, step: Step) {
        for before in after(step) {
            if !state.is_done(*before) {
                finish(state, *before);
            }
        }
        let result = if step == Step::Prepare { prepared() } else { StepResult::Nothing };
        state.apply(&Record::Began { step }).unwrap();
        state.apply(&Record::Done { step, result: Box::new(result) }).unwrap();
    }

    fn prepared() -> StepResult {
        StepResult::Prepared(fixture::prepared(model::fixture::draft()))
    }

    #[test]
    fn a_deployment_is_busy_with_what_has_no_traffic() {
        assert_eq!(busy_with(&done(Step::Prepare)), Some(Colour::Green));
        assert_eq!(busy_with(&done(Step::Stage)), Some(Colour::Green));
        assert_eq!(busy_with(&done(Step::Switch)), None);
        assert_eq!(busy_with(&done(Step::Bake)), None);
        assert_eq!(busy_with(&done(Step::Commit)), Some(Colour::Blue));
    }

    #[test]
    fn the_new_colour_is_its_own_again_once_the_switch_is_undone() {
        let mut state = done(Step::Switch);
        let failure = Failure {
            step: Step::PostIntegration,
            kind: FailureKind::Aborted,
            message: "aborted".to_owned(),
            details: Vec::new(),
            remedy: None,
        };
        state.apply(&Record::Stopped { failure }).unwrap();
        assert_eq!(busy_with(&state), None, "it has the traffic yet");
        state.apply(&Record::Undoing { step: Step::Switch }).unwrap();
        assert_eq!(busy_with(&state), Some(Colour::Green));
    }
}
