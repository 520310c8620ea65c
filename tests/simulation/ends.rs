//! What must be true once all deployments have ended: exactly *before*, or exactly *committed*.

use std::collections::BTreeSet;

use verdigris::model::{Colour, Draft, Retain, Route, Standing};

use crate::draft::service;
use crate::world::{Picture, Sim};

pub fn check_violations(sim: &Sim) {
    let truth = sim.truth();
    assert!(truth.violations.is_empty(), "{:#?}", truth.violations);
}

/// Exactly as before; where tasks died, the live colour's instances are the ones that serve now.
pub fn check_reverted(sim: &Sim, before: &Picture, after: &Picture) {
    let live = before.registry[&service()].colour.expect("a live colour");
    if sim.truth().deaths == 0 {
        return assert_eq!(before, after, "a revert is exact");
    }
    let (before, now) = (without_instances(before, live), without_instances(after, live));
    assert_eq!(before, now, "a revert is exact but for tasks that died");
    check_known(sim, after, live);
}

fn without_instances(picture: &Picture, colour: Colour) -> Picture {
    let mut picture = picture.clone();
    for record in picture.registry.values_mut() {
        record.instances.retain(|_, entry| entry.colour != colour);
    }
    for view in picture.proxies.values_mut().flat_map(|views| views.values_mut()) {
        view.backends.remove(&colour);
    }
    picture
}

/// Registry and proxies know exactly the tasks of `colour` that serve.
fn check_known(sim: &Sim, after: &Picture, colour: Colour) {
    let serving = sim.truth().serving(&service().swarm_name(colour));
    let record = &after.registry[&service()];
    let recorded: BTreeSet<String> =
        record.of(colour).map(|entry| entry.instance.task.clone()).collect();
    assert_eq!(recorded, serving, "the registry knows what serves of `{colour}`");
    for (proxy, views) in &after.proxies {
        let led: BTreeSet<String> =
            views[&service()].of(colour).iter().map(|backend| backend.task.clone()).collect();
        assert_eq!(led, serving, "{proxy} knows what serves of `{colour}`");
    }
}

/// What was committed last is what is live, everywhere.
pub fn check_live(sim: &Sim, colour: Colour, release: &str) {
    let after = sim.truth().picture();
    let record = &after.registry[&service()];
    assert_eq!(record.colour, Some(colour), "the colour on record");
    assert_eq!(record.route.as_ref().and_then(Route::live), Some(colour), "the route on record");
    assert!(record.of(colour).all(|entry| entry.release.as_str() == release));
    for (proxy, views) in &after.proxies {
        assert_eq!(views[&service()].live, Some(colour), "{proxy} leads there");
        let generation = record.route.as_ref().map(|route| route.generation);
        assert_eq!(Some(views[&service()].generation), generation, "{proxy} follows the route");
    }
    check_known(sim, &after, colour);
}

/// Exactly what the deployment of `draft` committed; nothing else is there but what it keeps.
pub fn check_committed(sim: &Sim, after: &Picture, draft: &Draft) {
    let committed = sim.truth().committed[&service()].clone();
    check_live(sim, committed.colour, &committed.release);
    let record = &after.registry[&service()];
    assert_eq!(record.of(committed.colour).count(), draft.workload.replicas as usize);
    assert!(record.of(committed.colour).all(|entry| entry.standing == Standing::Live));
    check_old(sim, after, committed.colour.other(), &draft.policy.retain);
    assert_eq!(after.containers, 0);
}

/// The colour that is not live any more is kept as it should be, or not at all.
fn check_old(sim: &Sim, after: &Picture, old: Colour, retain: &Retain) {
    let kept = retain.releases > 0;
    let name = service().swarm_name(old);
    assert_eq!(after.swarm.contains_key(&name), kept, "`{old}` is kept");
    if kept && retain.scale.is_none() {
        assert!(after.registry[&service()].of(old).all(|entry| entry.standing == Standing::Idle));
    } else {
        assert!(sim.truth().serving(&name).is_empty());
    }
    check_known(sim, after, old);
}
