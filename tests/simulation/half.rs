//! A proxy that does an act half, of which some processes follow and some do not.

use std::time::Duration;

use tokio::time::Instant;
use verdigris::model::{Colour, Draft, Outcome, Retain};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, request, service};
use crate::ends::{check_live, check_reverted, check_violations};
use crate::world::{Answer, Fault, Sim, Stubborn};

const SEEDS: u64 = 40;

/// For as long as a proxy does an act half.
const HALF: Duration = Duration::from_secs(40);

/// Longer than a proxy that was asked last in that time is silent, and the reconciler leaves it unseen then.
const SEEN: Duration = Duration::from_secs(30);

/// A release is live, and from then on proxies do `what` half.
async fn halving(sim: &Sim, what: &'static str) -> Daemon {
    let daemon = Daemon::start(sim).await;
    let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
    let (daemon, _) = daemon.see_through(first).await;
    let until = Some(Instant::now() + HALF);
    sim.truth().stubborn.push(Stubborn { what, proxy: None, answer: Answer::Half, until });
    daemon
}

fn check_met(sim: &Sim) {
    assert!(sim.truth().met.contains(&Fault::Half), "it is done half");
}

#[test]
fn what_was_staged_or_flipped_half_is_taken_back_before_the_new_colour_goes() {
    for (what, seed) in
        ["stage", "flip"].into_iter().flat_map(|what| (0..SEEDS).map(move |s| (what, s)))
    {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let daemon = halving(&sim, what).await;
            let before = sim.truth().picture();
            let second = request(draft("good/books:22"));
            let second = daemon.engine.submit(second).await.unwrap().deployment;
            let (_daemon, view) = daemon.see_through(second).await;
            let reverted = matches!(view.outcome, Some(Outcome::Reverted { .. }));
            assert!(reverted, "{what}, seed {seed}: {:?}", view.outcome);
            check_met(&sim);
            check_reverted(&sim, &service(), &before);
            check_violations(&sim);
        });
    }
}

/// A release that has the public, and loses it again.
fn failing() -> Draft {
    let mut failing = draft("good/books:22");
    failing.policy.gates.post_integration.push(gate("fail"));
    failing
}

#[test]
fn nobody_is_left_on_the_new_colour_where_the_way_back_is_done_half() {
    for seed in 0..SEEDS {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let daemon = halving(&sim, "restore a proxy").await;
            let before = sim.truth().picture();
            let second = daemon.engine.submit(request(failing())).await.unwrap().deployment;
            let (_daemon, view) = daemon.see_through(second).await;
            assert!(matches!(view.outcome, Some(Outcome::Reverted { .. })), "seed {seed}");
            check_met(&sim);
            check_reverted(&sim, &service(), &before);
            check_violations(&sim);
        });
    }
}

#[test]
fn a_colour_that_is_retired_half_goes_when_no_process_has_it() {
    for seed in 0..SEEDS {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let daemon = halving(&sim, "retire").await;
            let mut second = draft("good/books:22");
            second.policy.retain = Retain { releases: 1, scale: Some(0), duration: None };
            let second = daemon.engine.submit(request(second)).await.unwrap().deployment;
            tokio::time::sleep(HALF / 2).await;
            check_met(&sim);
            let old = sim.truth().serving(&service().swarm_name(Colour::Blue));
            assert!(!old.is_empty(), "seed {seed}: it is stopped though processes may have it");
            let (_daemon, view) = daemon.see_through(second).await;
            assert_eq!(view.outcome, Some(Outcome::Committed), "seed {seed}");
            check_live(&sim, Colour::Green, view.release.unwrap().as_str());
            check_violations(&sim);
        });
    }
}

#[test]
fn instances_are_followed_by_all_processes_in_the_end() {
    for seed in 0..SEEDS {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let _daemon = halving(&sim, "refresh").await;
            sim.let_die(&service().swarm_name(Colour::Blue));
            tokio::time::sleep(HALF + SEEN).await;
            check_met(&sim);
            let serving = sim.truth().serving(&service().swarm_name(Colour::Blue));
            for proxy in sim.truth().proxies.values() {
                for views in proxy.leads() {
                    let led = views[&service()].of(Colour::Blue).iter();
                    assert_eq!(
                        led.map(|on| on.task.clone()).collect::<Vec<_>>(),
                        Vec::from_iter(serving.clone())
                    );
                }
            }
            check_violations(&sim);
        });
    }
}
