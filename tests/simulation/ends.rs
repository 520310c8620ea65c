//! What must be true once all deployments have ended: exactly *before*, or exactly *committed*.

use std::collections::BTreeSet;

use verdigris::model::{Colour, Draft, Route, Standing};

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
    check_serving(sim, after, live);
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

/// Registry and proxies know exactly the tasks of `live` that serve.
fn check_serving(sim: &Sim, after: &Picture, live: Colour) {
    let serving = sim.truth().serving(&service().swarm_name(live));
    let record = &after.registry[&service()];
    let recorded: BTreeSet<String> =
        record.of(live).map(|entry| entry.instance.task.clone()).collect();
    assert_eq!(recorded, serving, "the registry knows what serves");
    for (proxy, views) in &after.proxies {
        let led: BTreeSet<String> =
            views[&service()].of(live).iter().map(|backend| backend.task.clone()).collect();
        assert_eq!(led, serving, "{proxy} leads to what serves");
    }
}

/// Exactly what the deployment of `draft` committed; nothing else is there but what it keeps.
pub fn check_committed(sim: &Sim, after: &Picture, draft: &Draft) {
    let committed = sim.truth().committed[&service()].clone();
    let live = committed.colour;
    check_live(sim, live, &committed.release);
    let old = live.other();
    let record = &after.registry[&service()];
    assert!(record.instances.values().all(|entry| entry.colour == live));
    assert!(record.instances.values().all(|entry| entry.standing == Standing::Live));
    assert_eq!(record.instances.len(), draft.workload.replicas as usize);
    for (proxy, views) in &after.proxies {
        assert!(views[&service()].of(old).is_empty(), "{proxy} knows `{old}` yet");
    }
    let kept = draft.policy.retain.releases > 0;
    assert_eq!(after.swarm.contains_key(&service().swarm_name(old)), kept, "`{old}` is kept");
    assert_eq!(after.containers, 0);
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
    check_serving(sim, &after, colour);
}
