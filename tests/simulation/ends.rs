//! What must be true once all deployments have ended: exactly *before*, or exactly *committed*.

use std::collections::BTreeSet;

use verdigris::deploy::record::Prepared;
use verdigris::model::{Colour, Route, ServiceName, Standing};

use crate::draft::service;
use crate::world::{Picture, Sim};

pub fn check_violations(sim: &Sim) {
    let truth = sim.truth();
    assert!(truth.violations.is_empty(), "{:#?}", truth.violations);
}

/// Exactly as before; where instances of a colour are others than then, those that serve now are known.
pub fn check_reverted(sim: &Sim, service: &ServiceName, before: &Picture) {
    let (mut before, mut after) = (before.clone().of(service), sim.truth().picture().of(service));
    for colour in replaced(sim, service, &before) {
        before = without_instances(before, colour);
        after = without_instances(after, colour);
        check_known(sim, service, colour);
    }
    // What a proxy of a service that was never committed is given back after the revert, no daemon knows of.
    let truth = sim.truth();
    if !truth.committed.contains_key(service) {
        let given_back = |name: &String| truth.proxies[name].was_put_back(service);
        let views = after.proxies.iter_mut().filter(|(name, _)| given_back(name));
        views.for_each(|(_, views)| drop(views.remove(service)));
    }
    drop(truth);
    assert_eq!(before, after, "a revert is exact, but for instances that were replaced");
}

/// Colours of which other instances serve than before: where tasks died, or an idle colour was updated and
/// got its previous release back.
fn replaced(sim: &Sim, service: &ServiceName, before: &Picture) -> Vec<Colour> {
    let truth = sim.truth();
    let record = before.registry.get(service).cloned().unwrap_or_default();
    let had = |colour| record.of(colour).map(|entry| entry.instance.task.clone()).collect();
    let same = |colour: &Colour| {
        let had: BTreeSet<String> = had(*colour);
        let may = truth.deaths > 0 || (record.colour != Some(*colour) && !had.is_empty());
        !may || had == truth.serving(&service.swarm_name(*colour))
    };
    Colour::BOTH.into_iter().filter(|colour| !same(colour)).collect()
}

fn without_instances(mut picture: Picture, colour: Colour) -> Picture {
    for record in picture.registry.values_mut() {
        record.instances.retain(|_, entry| entry.colour != colour);
    }
    for view in picture.proxies.values_mut().flat_map(|views| views.values_mut()) {
        view.backends.remove(&colour);
    }
    picture
}

/// Registry and proxies know exactly the tasks of `colour` that serve.
fn check_known(sim: &Sim, service: &ServiceName, colour: Colour) {
    let (serving, after) = {
        let truth = sim.truth();
        (truth.serving(&service.swarm_name(colour)), truth.picture())
    };
    let record = &after.registry[service];
    let recorded: BTreeSet<String> =
        record.of(colour).map(|entry| entry.instance.task.clone()).collect();
    assert_eq!(recorded, serving, "the registry knows what serves of `{colour}`");
    for (proxy, views) in &after.proxies {
        let led: BTreeSet<String> =
            views[service].of(colour).iter().map(|backend| backend.task.clone()).collect();
        assert_eq!(led, serving, "{proxy} knows what serves of `{colour}`");
    }
}

/// What was committed last of the sample service is what is live, everywhere.
pub fn check_live(sim: &Sim, colour: Colour, release: &str) {
    check_service_live(sim, &service(), colour, release);
}

fn check_service_live(sim: &Sim, service: &ServiceName, colour: Colour, release: &str) {
    let after = sim.truth().picture();
    let record = &after.registry[service];
    assert_eq!(record.colour, Some(colour), "the colour on record");
    assert_eq!(record.route.as_ref().and_then(Route::live), Some(colour), "the route on record");
    assert!(record.of(colour).all(|entry| entry.release.as_str() == release));
    for (proxy, views) in &after.proxies {
        assert_eq!(views[service].live, Some(colour), "{proxy} leads there");
        let generation = record.route.as_ref().map(|route| route.generation);
        assert_eq!(Some(views[service].generation), generation, "{proxy} follows the route");
    }
    check_known(sim, service, colour);
}

/// Exactly what a deployment prepared and committed; nothing else is there but what it keeps.
pub fn check_committed(sim: &Sim, prepared: &Prepared) {
    let (service, colour) = (&prepared.release.service, prepared.colour);
    check_service_live(sim, service, colour, prepared.release.id.as_str());
    let after = sim.truth().picture();
    let record = &after.registry[service];
    assert_eq!(record.of(colour).count(), prepared.release.workload.replicas as usize);
    assert!(record.of(colour).all(|entry| entry.standing == Standing::Live));
    check_old(sim, &after, prepared);
    assert_eq!(after.containers, 0);
}

/// The colour that is not live any more is kept as it should be, or not at all.
fn check_old(sim: &Sim, after: &Picture, prepared: &Prepared) {
    let Prepared { release, colour, live, .. } = prepared;
    let (service, old, retain) = (&release.service, colour.other(), &release.policy.retain);
    let kept = live.is_some() && retain.releases > 0;
    let name = service.swarm_name(old);
    assert_eq!(after.swarm.contains_key(&name), kept, "`{old}` is kept");
    if kept && retain.scale.is_none() {
        assert!(after.registry[service].of(old).all(|entry| entry.standing == Standing::Idle));
    } else {
        assert!(sim.truth().serving(&name).is_empty());
    }
    check_known(sim, service, old);
}
