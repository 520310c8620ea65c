//! What is there: the services of the Swarm and the instances that run, in a look at all of them or at one;
//! and what is left to a deployment.

use std::collections::BTreeMap;

use crate::deploy::health::serving;
use crate::deploy::ports::{Found, PortResult, Swarm, SwarmSnapshot};
use crate::deploy::saga::{Progress, State};
use crate::discovery::compare::Seen;
use crate::model::{
    Colour, Instance, Registration, ReleaseId, ServiceName, Standing, Step, labels,
};

/// The Swarm services of one service, by colour.
pub(super) type Colours = BTreeMap<Colour, SwarmSnapshot>;

/// What the look at everything shows of one service.
#[derive(Default)]
pub(super) struct Glimpse {
    pub(super) colours: Colours,
    pub(super) seen: Seen,
    /// Colours of which it does not tell what runs.
    unclear: bool,
}

impl Glimpse {
    /// It tells of every colour what runs.
    pub(super) fn is_clear(&self) -> bool {
        !self.unclear
    }

    /// As many instances of each colour were seen as it asks for.
    pub(super) fn is_whole(&self) -> bool {
        is_whole(&self.colours, &self.seen)
    }

    fn add(&mut self, colour: Colour, snapshot: SwarmSnapshot, running: Option<Vec<Instance>>) {
        self.unclear |= running.is_none();
        if snapshot.port().is_some() {
            let entries = entries(running.unwrap_or_default(), colour, &snapshot);
            self.seen.colours.insert(colour, entries);
        }
        self.colours.insert(colour, snapshot);
    }
}

/// What was `found` in the Swarm, by owner.
pub(super) fn by_owner(found: Vec<Found>) -> BTreeMap<ServiceName, Glimpse> {
    let mut by_owner: BTreeMap<ServiceName, Glimpse> = BTreeMap::new();
    for Found { service, colour, snapshot, running } in found {
        by_owner.entry(service).or_default().add(colour, snapshot, running);
    }
    by_owner
}

/// What there is of `service` at this moment, and the instances that serve. A colour that is somebody else's
/// is none.
pub(super) async fn look(swarm: &dyn Swarm, service: &ServiceName) -> PortResult<(Colours, Seen)> {
    let (mut colours, mut seen) = (Colours::new(), Seen::default());
    for (colour, (snapshot, tasks)) in swarm.look(service).await? {
        if !is_of(&snapshot, service, colour) {
            continue;
        }
        if snapshot.port().is_some() {
            let entries = entries(tasks.iter().filter_map(serving), colour, &snapshot);
            seen.colours.insert(colour, entries);
        }
        colours.insert(colour, snapshot);
    }
    Ok((colours, seen))
}

/// Verdigris made it, as that.
fn is_of(found: &SwarmSnapshot, service: &ServiceName, colour: Colour) -> bool {
    let is = |label: &str, value: &str| found.label(label) == Some(value);
    is(labels::MANAGED_BY, labels::VERDIGRIS)
        && is(labels::SERVICE, service.as_str())
        && is(labels::COLOUR, colour.as_str())
}

fn entries(
    instances: impl IntoIterator<Item = Instance>,
    colour: Colour,
    snapshot: &SwarmSnapshot,
) -> Vec<Registration> {
    instances.into_iter().map(|instance| entry(instance, colour, snapshot)).collect()
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
