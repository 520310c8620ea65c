//! What the registry says of a service, held against what the journal committed last. Pure.

use std::fmt;

use crate::deploy::ledger::switched;
use crate::deploy::record::Prepared;
use crate::model::{Colour, ReleaseId, Route, ServiceRecord};

/// How a record contradicts what was committed last, while no deployment is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contradiction {
    /// It has no colour, or no route.
    Forgotten,
    /// Its route is of an earlier generation: writes were lost, or a copy of the registry was put back.
    Behind,
    /// Its colour and its route name different colours, of which one was committed last.
    Torn,
    /// It names a colour that does not exist.
    Gone,
}

impl Contradiction {
    /// Nothing but the record itself need be known to see it: what is there is of no consequence.
    #[must_use]
    pub fn is_plain(self) -> bool {
        self == Self::Forgotten
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forgotten => "the registry had forgotten the service",
            Self::Behind => "the registry was behind what was committed last",
            Self::Torn => "colour and route in the registry did not agree",
            Self::Gone => "the registry named a colour that does not exist",
        })
    }
}

/// How `record` contradicts `last`, if it does. `exists` tells which colours have a Swarm service.
///
/// A record that is newer and agrees with itself is another daemon's commit, of which the journal knows
/// nothing: it contradicts nothing.
#[must_use]
pub fn contradiction(
    record: &ServiceRecord,
    last: &Prepared,
    exists: impl Fn(Colour) -> bool,
) -> Option<Contradiction> {
    let (Some(colour), Some(route)) = (record.colour, &record.route) else {
        // Another colour on record is somebody else's work, of which this journal knows nothing.
        let ours = record.colour.is_none_or(|colour| colour == last.colour);
        return ours.then_some(Contradiction::Forgotten);
    };
    let committed = switched(last).generation;
    if route.generation < committed {
        return Some(Contradiction::Behind);
    }
    if is_torn(colour, route, last, committed) {
        return Some(Contradiction::Torn);
    }
    let gone = colour != last.colour && !exists(colour);
    gone.then_some(Contradiction::Gone)
}

/// A switch that nobody committed, or a commit of which only the route is on record.
fn is_torn(colour: Colour, route: &Route, last: &Prepared, committed: u64) -> bool {
    let live = route.live();
    let uncommitted = colour == last.colour;
    let half = live == Some(last.colour) && route.generation == committed;
    live != Some(colour) && (uncommitted || half)
}

/// Whether all of `record` was made by `reverted`, and by nobody else: a registry that lost what undid it has
/// it still.
#[must_use]
pub fn is_remnant(record: &ServiceRecord, reverted: &Prepared) -> bool {
    let of_release = |release: &ReleaseId| *release == reverted.release.id;
    record.colour.is_none_or(|colour| colour == reverted.colour)
        && record.route.as_ref().is_none_or(|route| *route == switched(reverted))
        && record.instances.values().all(|entry| of_release(&entry.release))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::deploy::{fixture, ledger};
    use crate::model::{self, Instance};

    fn prepared(colour: Colour) -> Prepared {
        Prepared { colour, live: None, ..fixture::prepared(model::fixture::draft()) }
    }

    /// What is on record once `last`, which follows on `generation`, has committed.
    fn committed(last: &Prepared) -> ServiceRecord {
        let mut record = last.before.registry.clone();
        ledger::switch(&mut record, last);
        ledger::commit(&mut record, last);
        record
    }

    fn follows(colour: Colour, generation: u64) -> Prepared {
        let mut last = prepared(colour);
        last.before.registry.route = Some(Route {
            gives_up: None,
            generation,
            rule: None,
            weights: BTreeMap::from([(colour.other(), 100)]),
            releases: BTreeMap::new(),
        });
        last.before.registry.colour = Some(colour.other());
        last
    }

    fn found(record: &ServiceRecord, last: &Prepared) -> Option<Contradiction> {
        contradiction(record, last, |_| true)
    }

    #[test]
    fn what_was_committed_contradicts_nothing() {
        let last = follows(Colour::Green, 4);
        assert_eq!(found(&committed(&last), &last), None);
    }

    #[test]
    fn what_is_missing_is_forgotten_unless_another_colour_is_named() {
        let last = follows(Colour::Green, 4);
        assert_eq!(found(&ServiceRecord::default(), &last), Some(Contradiction::Forgotten));
        let other = ServiceRecord { colour: Some(Colour::Blue), ..ServiceRecord::default() };
        assert_eq!(found(&other, &last), None);
    }

    #[test]
    fn lost_writes_of_a_commit_are_noticed() {
        let last = follows(Colour::Green, 4);
        let mut without_colour = committed(&last);
        without_colour.colour = Some(Colour::Blue);
        assert_eq!(found(&without_colour, &last), Some(Contradiction::Torn));
        let mut without_route = committed(&last);
        without_route.route.clone_from(&last.before.registry.route);
        assert_eq!(found(&without_route, &last), Some(Contradiction::Behind));
        assert_eq!(found(&last.before.registry, &last), Some(Contradiction::Behind));
    }

    #[test]
    fn lost_writes_of_a_revert_are_noticed() {
        let last = follows(Colour::Green, 4);
        let mut next = prepared(Colour::Blue);
        next.before.registry = committed(&last);
        let mut switched = next.before.registry.clone();
        ledger::switch(&mut switched, &next);
        assert_eq!(found(&switched, &last), Some(Contradiction::Torn));
        ledger::commit(&mut switched, &next);
        let gone = contradiction(&switched, &last, |colour| colour == Colour::Green);
        assert_eq!(gone, Some(Contradiction::Gone));
    }

    #[test]
    fn only_what_a_deployment_made_itself_is_its_remnant() {
        let reverted = prepared(Colour::Blue);
        let made = committed(&reverted);
        assert!(is_remnant(&made, &reverted));
        let without_route = ServiceRecord { route: None, ..made.clone() };
        assert!(is_remnant(&without_route, &reverted));
        let other_colour = ServiceRecord { colour: Some(Colour::Green), ..made.clone() };
        assert!(!is_remnant(&other_colour, &reverted));
        let mut other_route = made.clone();
        other_route.route.as_mut().unwrap().generation += 1;
        assert!(!is_remnant(&other_route, &reverted));
        let mut theirs = prepared(Colour::Blue);
        theirs.release.id = ReleaseId::from("theirs".to_owned());
        let instance = Instance {
            task: "task".to_owned(),
            node: "n1".to_owned(),
            address: ([10, 0, 0, 1], 8080).into(),
        };
        let mut other_instances = made;
        ledger::register(&mut other_instances, &theirs, &[instance]);
        assert!(!is_remnant(&other_instances, &reverted));
    }

    #[test]
    fn a_commit_of_another_daemon_contradicts_nothing() {
        let last = follows(Colour::Green, 4);
        let mut theirs = prepared(Colour::Blue);
        theirs.before.registry = committed(&last);
        assert_eq!(found(&committed(&theirs), &last), None);
    }
}
