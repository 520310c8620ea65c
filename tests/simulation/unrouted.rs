//! A release that has no route, after one that had: the public is led nowhere, nobody is cut off, and the
//! hosts are free.

use std::time::Duration;

use verdigris::deploy::record::{Journalled, Record};
use verdigris::model::{Bake, Colour, DeploymentId, Draft, Outcome, Retain, ServiceRecord, Step};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, neighbour, request, service};
use crate::ends::{check_live, check_reverted, check_violations};
use crate::world::Sim;

fn unrouted(image: &str) -> Draft {
    let mut draft = draft(image);
    draft.policy.route = None;
    draft.policy.gates.post_integration.clear();
    draft
}

async fn committed(daemon: Daemon, draft: Draft) -> Daemon {
    let id = daemon.engine.submit(request(draft)).await.unwrap().deployment;
    let (daemon, view) = daemon.see_through(id).await;
    assert_eq!(view.outcome, Some(Outcome::Committed));
    daemon
}

/// `docker service rm` of all colours.
fn remove_by_hand(sim: &Sim) {
    let colours = Colour::BOTH.map(|colour| service().swarm_name(colour));
    sim.truth().swarm.retain(|name, _| !colours.contains(name));
}

fn knows_it(sim: &Sim) -> bool {
    sim.truth().picture().proxies.values().any(|views| views.contains_key(&service()))
}

#[test]
fn who_drops_its_route_is_led_to_no_more_once_its_requests_are_over() {
    for (seed, releases) in (0..12).flat_map(|seed| [(seed, 0), (seed, 1)]) {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let mut daemon = committed(Daemon::start(&sim).await, draft("good/books:1")).await;
            sim.truth().unrouted = true;
            let mut second = unrouted("good/books:22");
            second.policy.retain = Retain { releases, scale: None, duration: None };
            daemon = committed(daemon, second).await;
            assert!(!knows_it(&sim), "seed {seed}");
            let mut other = neighbour("good/other:1");
            other.policy.route = draft("good/books:1").policy.route;
            daemon = committed(daemon, other).await;
            // A proxy that comes back with what it led to once is told, though no route says where to.
            sim.restore_from_backup();
            daemon = daemon.settle().await;
            assert!(!knows_it(&sim), "seed {seed}");
            check_violations(&sim);
            drop(daemon);
        });
    }
}

/// As docs/reliability.md tells operators to take a service out: what is gone from the registry as a whole is
/// not put back, what is gone in part is.
#[test]
fn who_dropped_its_route_and_is_removed_by_hand_is_in_nobodys_way() {
    for seed in 0..12 {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let mut daemon = committed(Daemon::start(&sim).await, draft("good/books:1")).await;
            sim.truth().unrouted = true;
            daemon = committed(daemon, unrouted("good/books:22")).await;
            remove_by_hand(&sim);
            daemon = daemon.settle().await;
            assert!(!knows_it(&sim), "seed {seed}");
            let drift = daemon.reconciler.drift(&service());
            assert!(drift[0].contains("no instance of the live colour"), "{drift:?}");
            let mut other = neighbour("good/other:1");
            other.policy.route = draft("good/books:1").policy.route;
            daemon = committed(daemon, other).await;

            // It is deployed again, and taken out again.
            daemon = committed(daemon, unrouted("good/books:333")).await;
            remove_by_hand(&sim);
            let whole = sim.truth().registry[&service()].clone();
            let instances = ServiceRecord { colour: None, route: None, ..whole.clone() };
            sim.truth().registry.insert(service(), instances);
            daemon = daemon.settle().await;
            assert_eq!(sim.truth().registry.get(&service()), Some(&whole), "seed {seed}");
            sim.truth().registry.remove(&service());
            daemon = daemon.settle().await.restart().await.settle().await;
            assert_eq!(sim.truth().registry.get(&service()), None, "seed {seed}");
            check_violations(&sim);
            drop(daemon);
        });
    }
}

/// Who is removed without that stays where it was: the live colour is never emptied.
#[test]
fn who_is_removed_by_hand_alone_keeps_its_hosts() {
    for seed in 0..12 {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let daemon = committed(Daemon::start(&sim).await, draft("good/books:1")).await;
            remove_by_hand(&sim);
            let daemon = daemon.settle().await;
            assert!(knows_it(&sim), "seed {seed}");
            let mut other = neighbour("good/other:1");
            other.policy.route = draft("good/books:1").policy.route;
            let id = daemon.engine.submit(request(other)).await.unwrap().deployment;
            let (_daemon, view) = daemon.see_through(id).await;
            assert!(
                matches!(view.outcome, Some(Outcome::Reverted { .. })),
                "seed {seed}: {view:?}"
            );
        });
    }
}

#[test]
fn who_gets_a_route_again_is_led_to_by_the_switch_and_not_before() {
    for seed in 0..12 {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            sim.truth().unrouted = true;
            let daemon = committed(Daemon::start(&sim).await, unrouted("good/books:1")).await;
            let third = draft("good/books:333");
            let id = daemon.engine.submit(request(third)).await.unwrap().deployment;
            until_begun(&sim, id, Step::Switch).await;
            let leads = |sim: &Sim| {
                let proxies = sim.truth().picture().proxies;
                proxies.values().flat_map(|views| views.values()).any(|view| view.live.is_some())
            };
            assert!(!leads(&sim), "seed {seed}");
            let (_daemon, view) = daemon.see_through(id).await;
            assert_eq!(view.outcome, Some(Outcome::Committed));
            let committed = sim.truth().committed[&service()].clone();
            check_live(&sim, committed.colour, &committed.release);
            check_violations(&sim);
        });
    }
}

#[test]
fn who_drops_its_route_gets_it_back_in_a_revert() {
    for seed in 0..12 {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let daemon = committed(Daemon::start(&sim).await, draft("good/books:1")).await;
            let before = sim.truth().picture();
            sim.truth().unrouted = true;
            let mut second = unrouted("good/books:22");
            second.policy.bake =
                Some(Bake { duration: Duration::from_secs(60), max_errors: 1.0, min_requests: 1 });
            let id = daemon.engine.submit(request(second)).await.unwrap().deployment;
            until_begun(&sim, id, Step::Bake).await;
            daemon.engine.abort(id, "a person", "").await.unwrap();
            let (daemon, view) = daemon.see_through(id).await;
            assert!(matches!(view.outcome, Some(Outcome::Reverted { .. })), "{view:?}");
            check_reverted(&sim, &service(), &before);
            check_violations(&sim);
            drop(daemon);
        });
    }
}

async fn until_begun(sim: &Sim, id: DeploymentId, step: Step) {
    let begun =
        |entry: &Journalled| matches!(entry.record, Record::Began { step: it } if it == step);
    while !sim.with_journal(|journal| journal[&id].iter().any(begun)) {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
}
