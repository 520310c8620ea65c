//! Services are looked at together, and what is done for one of them holds up no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;
use std::time::Duration;

use verdigris::model::{Colour, Draft, Outcome, Retain, ServiceName};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, neighbour, request, service};
use crate::ends::check_violations;
use crate::world::Sim;

/// Longer than the reconciler leaves anything unseen.
const SEEN: Duration = Duration::from_secs(15);

async fn deployed(daemon: Daemon, draft: Draft) -> Daemon {
    let id = daemon.engine.submit(request(draft)).await.unwrap().deployment;
    let (daemon, view) = daemon.see_through(id).await;
    assert_eq!(view.outcome, Some(Outcome::Committed));
    daemon
}

/// Every proxy has exactly the instances of `colour` that serve.
fn check_followed(sim: &Sim, service: &ServiceName, colour: Colour) {
    let truth = sim.truth();
    let serving = truth.serving(&service.swarm_name(colour));
    for (name, proxy) in &truth.proxies {
        let led = proxy.held()[service].of(colour).iter();
        let led: BTreeSet<String> = led.map(|backend| backend.task.clone()).collect();
        assert_eq!(led, serving, "{name}, {service}");
    }
}

/// What is asked in a minute in which nothing happens to so many services, and how often; but for what the
/// daemon knows itself.
fn asked(services: usize, retain: &Retain) -> BTreeMap<String, usize> {
    let (answer, asked) = mpsc::channel();
    let retain = retain.clone();
    in_virtual_time(async move {
        let sim = Sim::new(1);
        let mut daemon = Daemon::start(&sim).await;
        for number in 0..services {
            for image in ["good/books:1", "good/books:22"] {
                let mut draft = draft(image);
                draft.service = format!("s{number}").parse().unwrap();
                draft.policy.route.as_mut().unwrap().hosts = vec![format!("s{number}.example.com")];
                draft.policy.retain = retain.clone();
                daemon = deployed(daemon, draft).await;
            }
        }
        tokio::time::sleep(SEEN * 2).await;
        sim.truth().trace.clear();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let mut acts = BTreeMap::new();
        for (_, what) in sim.truth().trace.drain(..) {
            *acts.entry(what).or_insert(0) += 1;
        }
        acts.remove("snapshot the proxies");
        answer.send(acts).unwrap();
    });
    asked.recv().unwrap()
}

#[test]
fn it_asks_no_more_of_many_services_than_of_one() {
    let kept = |releases, duration| Retain { releases, scale: None, duration };
    let later = Some(Duration::from_secs(86_400));
    for retain in [kept(0, None), kept(1, None), kept(1, later)] {
        let (one, many) = (asked(1, &retain), asked(9, &retain));
        assert!(one.contains_key("services"), "{one:?}");
        assert!(one.keys().eq(many.keys()), "{one:?}, {many:?}");
        assert!(many.values().all(|times| *times <= 7), "{many:?}");
    }
}

#[test]
fn a_colour_that_is_slow_to_stop_holds_up_nobody_and_is_removed_once() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let daemon = Daemon::start(&sim).await;
        let other = neighbour("good/other:1");
        let beside = other.service.clone();
        let mut daemon = deployed(daemon, other).await;
        for image in ["good/books:1", "good/books:22"] {
            let mut kept = draft(image);
            let duration = Some(Duration::from_secs(5));
            kept.policy.retain = Retain { releases: 1, scale: Some(0), duration };
            daemon = deployed(daemon, kept).await;
        }
        sim.truth().slow_to_stop = Some(SEEN * 8);
        sim.truth().trace.clear();
        let removals = || {
            let truth = sim.truth();
            truth.trace.iter().filter(|(_, what)| what == "restore").count()
        };
        while removals() == 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        sim.let_die(&beside.swarm_name(Colour::Blue));
        sim.let_die(&service().swarm_name(Colour::Green));
        tokio::time::sleep(SEEN).await;
        check_followed(&sim, &beside, Colour::Blue);
        check_followed(&sim, &service(), Colour::Green);
        let removed = || {
            let mended = daemon.reconciler.mended(&service()).into_iter();
            mended.filter(|mended| mended.what.contains("kept long enough")).count()
        };
        assert_eq!(removed(), 0, "it is being removed");
        tokio::time::sleep(SEEN * 8).await;
        assert_eq!((removals(), removed()), (1, 1));
        check_violations(&sim);
    });
}

#[test]
fn a_service_that_is_held_up_holds_up_nobody_else() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let daemon = deployed(Daemon::start(&sim).await, draft("good/books:1")).await;
        let other = neighbour("good/other:1");
        let beside = other.service.clone();
        let daemon = deployed(daemon, other).await;
        let turn = daemon.ledger.turn(&service());
        let held = turn.lock().await;
        for name in [&service(), &beside] {
            sim.let_die(&name.swarm_name(Colour::Blue));
        }
        tokio::time::sleep(SEEN).await;
        check_followed(&sim, &beside, Colour::Blue);
        drop(held);
        tokio::time::sleep(SEEN).await;
        check_followed(&sim, &service(), Colour::Blue);
    });
}
