//! What went wrong by itself is put right, and what may be another daemon's is not.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use verdigris::deploy::record::{Journalled, Record};
use verdigris::model::{Bake, Colour, DeploymentId, Outcome, Retain, ServiceRecord, Step, labels};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, request, service};
use crate::ends::{check_live, check_violations};
use crate::world::{Answer, Part, Sim, SimProxy, Stubborn};

/// Longer than the reconciler leaves anything unseen.
const SEEN: Duration = Duration::from_secs(15);

/// Two releases, one after the other; answers what was on record between them.
async fn deployed_twice(sim: &Sim) -> (Daemon, ServiceRecord) {
    let daemon = Daemon::start(sim).await;
    let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
    let (daemon, _) = daemon.see_through(first).await;
    let between = sim.truth().registry[&service()].clone();
    let second = daemon.engine.submit(request(draft("good/books:22"))).await.unwrap().deployment;
    let (daemon, view) = daemon.see_through(second).await;
    assert_eq!(view.outcome, Some(Outcome::Committed));
    (daemon, between)
}

fn check_last(sim: &Sim) {
    let committed = sim.truth().committed[&service()].clone();
    assert_eq!(committed.colour, Colour::Green);
    check_live(sim, committed.colour, &committed.release);
    check_violations(sim);
}

#[test]
fn a_registry_that_lost_the_last_commit_is_told_it_again() {
    type Lose = fn(&mut ServiceRecord, ServiceRecord);
    let all: Lose = |record, between| *record = between;
    let colour: Lose = |record, between| record.colour = between.colour;
    let route: Lose = |record, between| record.route = between.route;
    for lose in [all, colour, route] {
        in_virtual_time(async move {
            let sim = Sim::new(1);
            let (daemon, between) = deployed_twice(&sim).await;
            lose(sim.truth().registry.get_mut(&service()).unwrap(), between);
            tokio::time::sleep(SEEN).await;
            check_last(&sim);
            assert!(!daemon.reconciler.mended(&service()).is_empty(), "and it is told");
            assert_eq!(daemon.reconciler.drift(&service()), Vec::<String>::new());
        });
    }
}

#[test]
fn a_ci_engine_that_is_silent_keeps_nobody_from_following_instances() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (_daemon, _) = deployed_twice(&sim).await;
        sim.truth().faults.slow.insert("list test containers", Duration::MAX);
        // By now it is asked.
        tokio::time::sleep(SEEN).await;
        sim.let_die(&service().swarm_name(Colour::Green));
        tokio::time::sleep(SEEN).await;
        check_last(&sim);
    });
}

#[test]
fn what_another_daemon_may_be_at_is_left_to_it() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (_daemon, between) = deployed_twice(&sim).await;
        let torn = {
            let mut truth = sim.truth();
            let name = service().swarm_name(Colour::Blue);
            let mut spec = truth.swarm[&service().swarm_name(Colour::Green)].spec.clone();
            spec["Name"] = json!(name);
            spec["Labels"][labels::COLOUR] = json!(Colour::Blue);
            spec["Labels"][labels::DEPLOYMENT] = json!(DeploymentId::new());
            truth.put(&name, spec);
            truth.registry.get_mut(&service()).unwrap().colour = between.colour;
            truth.registry[&service()].colour
        };
        tokio::time::sleep(SEEN).await;
        assert_eq!(sim.truth().registry[&service()].colour, torn);
        check_violations(&sim);
    });
}

/// What is on record some time after a first release was reverted, and its record came back as `lost`.
fn recalled(lost: impl FnOnce(&mut ServiceRecord) + 'static) -> Option<ServiceRecord> {
    let recalled = Rc::new(RefCell::new(None));
    let answer = Rc::clone(&recalled);
    in_virtual_time(async move {
        let sim = Sim::new(1);
        let daemon = Daemon::start(&sim).await;
        let mut first = draft("good/books:1");
        first.policy.gates.post_integration.push(gate("hang"));
        let first = daemon.engine.submit(request(first)).await.unwrap().deployment;
        tokio::time::sleep(Duration::from_secs(6)).await;
        let mut record = sim.truth().registry[&service()].clone();
        let (_daemon, view) = daemon.see_through(first).await;
        assert!(matches!(view.outcome, Some(Outcome::Reverted { .. })));
        record.colour = Some(Colour::Blue);
        lost(&mut record);
        sim.truth().registry.insert(service(), record);
        tokio::time::sleep(SEEN).await;
        check_violations(&sim);
        *answer.borrow_mut() = sim.truth().registry.get(&service()).cloned();
    });
    recalled.take()
}

#[test]
fn a_first_release_that_was_reverted_does_not_stay_on_record_as_live() {
    assert_eq!(recalled(|_| ()), None);
    assert_eq!(recalled(|record| record.route = None), None);
    let theirs = recalled(|record| record.route.as_mut().unwrap().generation += 1);
    assert!(theirs.is_some(), "another daemon may have committed that");
}

#[test]
fn nobody_is_led_to_a_colour_of_which_nothing_runs() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (daemon, between) = deployed_twice(&sim).await;
        sim.truth().journals.clear();
        let _daemon = daemon.restart().await;
        sim.truth().registry.insert(service(), between);
        tokio::time::sleep(SEEN).await;
        for proxy in sim.truth().proxies.values() {
            assert_eq!(proxy.held()[&service()].live, Some(Colour::Green));
        }
        check_violations(&sim);
    });
}

#[test]
fn a_proxy_that_was_put_back_is_led_on_before_the_old_colour_goes() {
    for seed in 0..40 {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let daemon = Daemon::start(&sim).await;
            let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap();
            let (daemon, _) = daemon.see_through(first.deployment).await;
            let mut second = draft("good/books:22");
            let duration = Duration::from_secs(5);
            second.policy.bake = Some(Bake { duration, max_errors: 0.1, min_requests: 1 });
            let second = daemon.engine.submit(request(second)).await.unwrap().deployment;
            tokio::time::sleep(Duration::from_secs(4)).await;
            sim.restore_from_backup();
            let (_daemon, view) = daemon.see_through(second).await;
            assert_eq!(view.outcome, Some(Outcome::Committed), "seed {seed}");
            check_last(&sim);
        });
    }
}

#[test]
fn instances_are_followed_under_a_deployment_also_when_the_registry_forgot_the_service() {
    // Also by proxies that missed it when the registry learnt of them.
    for missed in [false, true] {
        followed_though_forgotten(missed);
    }
}

fn followed_though_forgotten(missed: bool) {
    in_virtual_time(async move {
        let sim = Sim::new(1);
        let daemon = Daemon::start(&sim).await;
        let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
        let (daemon, _) = daemon.see_through(first).await;
        let mut second = draft("good/books:22");
        second.policy.gates.pre_integration.push(gate("hang"));
        let second = daemon.engine.submit(request(second)).await.unwrap().deployment;
        tokio::time::sleep(Duration::from_secs(4)).await;
        sim.truth().registry.clear();
        if missed {
            let until = Some(tokio::time::Instant::now() + Duration::from_secs(5));
            let stubborn =
                Stubborn { what: "refresh", proxy: None, answer: Answer::Refused, until };
            sim.truth().stubborn.push(stubborn);
        }
        let live = service().swarm_name(Colour::Blue);
        sim.let_die(&live);
        tokio::time::sleep(SEEN).await;
        assert!(daemon.engine.is_under_way(second), "the gate hangs yet");
        check_led(&sim, Colour::Blue);
        check_violations(&sim);
    });
}

#[test]
fn proxies_follow_the_instances_while_the_registry_is_away() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (daemon, _) = deployed_twice(&sim).await;
        let away = tokio::time::Instant::now() + Duration::from_secs(60);
        sim.truth().faults.away.insert(Part::Registry, away);
        sim.let_die(&service().swarm_name(Colour::Green));
        tokio::time::sleep(SEEN).await;
        check_led(&sim, Colour::Green);
        assert!(daemon.reconciler.problem().is_some(), "and it is told");
        tokio::time::sleep_until(away + SEEN).await;
        check_last(&sim);
        assert_eq!(daemon.reconciler.problem(), None);
    });
}

#[test]
fn a_proxy_that_was_put_back_is_led_away_before_the_new_colour_goes() {
    for seed in 0..40 {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let daemon = Daemon::start(&sim).await;
            let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap();
            let (daemon, _) = daemon.see_through(first.deployment).await;
            let before = sim.truth().picture();
            let mut second = draft("good/books:22");
            second.policy.gates.post_integration.push(gate("fail"));
            let second = daemon.engine.submit(request(second)).await.unwrap().deployment;
            let restores =
                |entry: &Journalled| matches!(entry.record, Record::Undoing { step: Step::Start });
            let began = || sim.with_journal(|journal| journal[&second].iter().any(restores));
            // The Swarm is away while the new colour is to be removed, and the proxies change meanwhile.
            while !began() {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            let until = tokio::time::Instant::now() + Duration::from_secs(2);
            sim.truth().faults.away.insert(Part::Swarm, until);
            sim.restore_from_backup();
            let (_daemon, _) = daemon.see_through(second).await;
            tokio::time::sleep(SEEN).await;
            assert_eq!(sim.truth().picture(), before, "seed {seed}");
            check_violations(&sim);
        });
    }
}

#[test]
fn requests_that_came_by_a_proxy_that_was_put_back_are_waited_for_however_often_it_is_led_away() {
    let mut came = 0;
    for seed in 0..40 {
        in_virtual_time(async {
            let sim = Sim::new(seed);
            let daemon = Daemon::start(&sim).await;
            let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap();
            let (daemon, _) = daemon.see_through(first.deployment).await;
            sim.truth().in_flight = true;
            let mut second = draft("good/books:22");
            second.policy.gates.post_integration.push(gate("fail"));
            let second = daemon.engine.submit(request(second)).await.unwrap().deployment;
            while sim.truth().drains == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // Others are waited for at that instant; and at first it cannot be led away again.
            sim.restore_from_backup();
            let led = |proxy: &SimProxy| proxy.held()[&service()].live == Some(Colour::Green);
            let is_led = sim.truth().proxies.values().any(led);
            let until = Some(tokio::time::Instant::now() + Duration::from_secs(15));
            let answer = Answer::Refused;
            let what = "restore a proxy";
            sim.truth().stubborn.push(Stubborn { what, proxy: None, answer, until });
            let (_daemon, view) = daemon.see_through(second).await;
            assert!(matches!(view.outcome, Some(Outcome::Reverted { .. })), "seed {seed}");
            assert_eq!(sim.truth().drains, if is_led { 2 } else { 1 }, "seed {seed}");
            check_violations(&sim);
            came += usize::from(is_led);
        });
    }
    assert!(came > 2, "the public was on the new colour again in some: {came}");
}

#[test]
fn a_revert_leads_back_to_instances_that_serve_now() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let daemon = Daemon::start(&sim).await;
        let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
        let (daemon, _) = daemon.see_through(first).await;
        let mut second = draft("good/books:22");
        second.policy.gates.post_integration.push(gate("hang"));
        let second = daemon.engine.submit(request(second)).await.unwrap().deployment;
        tokio::time::sleep(Duration::from_secs(6)).await;
        let live = service().swarm_name(Colour::Blue);
        sim.let_die(&live);
        let (_daemon, view) = daemon.see_through(second).await;
        assert!(matches!(view.outcome, Some(Outcome::Reverted { .. })));
        check_led(&sim, Colour::Blue);
        check_violations(&sim);
    });
}

/// One proxy takes its time over the live colour, and a deployment begins that replaces the other one.
#[test]
fn what_was_replaced_since_it_was_seen_is_not_told_the_proxies() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (daemon, _) = deployed_twice(&sim).await;
        let mut third = draft("good/books:333");
        third.policy.retain = Retain { releases: 1, scale: None, duration: None };
        let third = daemon.engine.submit(request(third)).await.unwrap().deployment;
        let (daemon, _) = daemon.see_through(third).await;
        // It does not know yet which colour it gets when instances of both come, and are seen at once.
        let slow = [("resolve", 4), ("services", 1), ("refresh", 5)];
        let slow = slow.map(|(what, seconds)| (what, Duration::from_secs(seconds)));
        sim.truth().faults.slow.extend(slow);
        let fourth = request(draft("good/books:4444"));
        let fourth = daemon.engine.submit(fourth).await.unwrap().deployment;
        for colour in Colour::BOTH {
            sim.let_come(&service().swarm_name(colour));
        }
        let (_daemon, view) = daemon.see_through(fourth).await;
        assert_eq!(view.outcome, Some(Outcome::Committed));
        check_last(&sim);
    });
}

/// Every proxy has exactly the instances of `colour` that serve.
fn check_led(sim: &Sim, colour: Colour) {
    let serving = sim.truth().serving(&service().swarm_name(colour));
    for (name, proxy) in &sim.truth().proxies {
        let led = proxy.held()[&service()].of(colour).iter();
        let led: BTreeSet<String> = led.map(|backend| backend.task.clone()).collect();
        assert_eq!(led, serving, "{name}");
    }
}
