//! Two daemons with a state directory each: one is stopped in the middle of a deployment, the other
//! takes the service over, and the first wakes late.

use std::ops::Range;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;
use verdigris::deploy::control::RefusalKind;
use verdigris::deploy::record::{Journalled, Record};
use verdigris::model::{
    Bake, Colour, DeploymentId, DeploymentView, Draft, FailureKind, OnBusy, Outcome, Request, Step,
};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, request, service};
use crate::ends::{check_live, check_violations};
use crate::number;
use crate::world::{Daemon as By, Sim};

#[test]
fn while_another_daemon_deploys_a_request_is_refused_and_names_it() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let (ours, other) = (Daemon::start(&sim).await, Daemon::start(&sim.rival()).await);
        let first = ours.engine.submit(request(draft("good/books:1"))).await.unwrap();
        let refusal = other.engine.submit(request(draft("good/books:22"))).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Busy);
        assert!(refusal.message.contains("Ours"), "{refusal}");
        let mut patient = request(draft("good/books:22"));
        patient.on_busy = OnBusy::Wait;
        let second = other.engine.submit(patient).await.unwrap();
        let (_ours, view) = ours.see_through(first.deployment).await;
        assert_eq!(view.outcome, Some(Outcome::Committed));
        let (_other, view) = other.see_through(second.deployment).await;
        assert_eq!(view.outcome, Some(Outcome::Committed), "it has waited");
        check_violations(&sim);
    });
}

/// Those that are tried, as many as `RIVALS` says.
fn seeds() -> Range<u64> {
    0..number("RIVALS").unwrap_or(150)
}

#[test]
fn a_daemon_that_wakes_late_changes_nothing() {
    let (mut taken_over, mut amid) = (0, 0);
    for seed in seeds() {
        in_virtual_time(async {
            let (sim, ours, theirs) = wake_late(seed, draft("good/books:333")).await;
            assert_eq!(theirs.outcome, Some(Outcome::Committed), "seed {seed}");
            // Whether it took the service over or waited for it, it was the last: also where the first
            // had committed when it was stopped, and could not note that before it woke.
            check_live(&sim, theirs.colour.unwrap(), theirs.release.as_ref().unwrap().as_str());
            check_violations(&sim);
            taken_over += usize::from(is_superseded(&ours));
            amid += usize::from(!sim.truth().outdated.is_empty());
        });
    }
    assert!(taken_over > 30, "the service passes on in many of them: {taken_over}");
    assert!(amid > 10, "the first wakes in the midst of the second's: {amid}");
}

#[test]
fn what_was_committed_last_is_live_when_the_daemon_that_took_over_reverts() {
    let (mut taken_over, mut amid) = (0, 0);
    for seed in seeds() {
        in_virtual_time(async {
            let mut bad = draft("good/books:333");
            bad.policy.gates.post_integration.push(gate("fail"));
            let (sim, ours, theirs) = wake_late(seed, bad).await;
            assert!(matches!(theirs.outcome, Some(Outcome::Reverted { .. })), "seed {seed}");
            let committed = sim.truth().committed[&service()].clone();
            check_live(&sim, committed.colour, &committed.release);
            check_violations(&sim);
            taken_over += usize::from(is_superseded(&ours));
            amid += usize::from(!sim.truth().outdated.is_empty());
        });
    }
    assert!(taken_over > 30, "the service passes on in many of them: {taken_over}");
    assert!(amid > 10, "the first wakes in the midst of the second's: {amid}");
}

#[test]
fn a_daemon_that_is_stopped_in_the_middle_of_a_look_undoes_no_commit_when_it_wakes() {
    for seed in 0..20 {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let ours = Daemon::start(&sim).await;
            let first = ours.engine.submit(request(draft("good/books:1"))).await.unwrap();
            let (_ours, _) = ours.see_through(first.deployment).await;
            // What it has read leads to a write, and that waits for as long as it is stopped.
            let stopped = Duration::from_secs(90);
            sim.truth().losses.stopped = Some(stopped);
            sim.let_die(&service().swarm_name(Colour::Blue));
            let wakes = loop {
                if let Some((_, until)) = sim.truth().faults.pause {
                    break until;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            };
            let other = Daemon::start(&sim.rival()).await;
            let second = other.engine.submit(request(draft("good/books:22"))).await.unwrap();
            let (_other, theirs) = other.see_through(second.deployment).await;
            assert_eq!(theirs.outcome, Some(Outcome::Committed), "seed {seed}");
            let late = Duration::from_secs(1);
            assert!(Instant::now() < wakes - late, "it has not woken yet");
            tokio::time::sleep_until(wakes - late).await;
            let committed = sim.truth().registry[&service()].clone();
            while Instant::now() < wakes + late {
                assert_eq!(sim.truth().registry[&service()], committed, "seed {seed}");
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            check_live(&sim, theirs.colour.unwrap(), theirs.release.as_ref().unwrap().as_str());
            check_violations(&sim);
        });
    }
}

#[test]
fn a_daemon_that_is_stopped_in_the_middle_of_a_look_leads_nobody_away_when_it_wakes() {
    // In the look at everything, and in that at a service of which something is to be mended.
    for last in ["read all of the registry", "read the registry", "tasks"] {
        for seed in 0..20 {
            stopped_in_a_look(seed, last);
        }
    }
}

/// A daemon does no more than `last` of a look, and another one deploys before it goes on.
fn stopped_in_a_look(seed: u64, last: &'static str) {
    in_virtual_time(async move {
        let sim = Sim::new(seed);
        let ours = Daemon::start(&sim).await;
        let first = ours.engine.submit(request(draft("good/books:1"))).await.unwrap();
        let (_ours, _) = ours.see_through(first.deployment).await;
        {
            // Somebody asks for one more, and there is no room for it: that is told.
            let mut truth = sim.truth();
            let live = truth.swarm.get_mut(&service().swarm_name(Colour::Blue)).unwrap();
            live.spec["Mode"]["Replicated"]["Replicas"] = json!(3);
            truth.trace.clear();
        }
        let soon = Instant::now() + Duration::from_secs(30);
        while !sim.truth().trace.iter().any(|(_, what)| what == last) {
            assert!(Instant::now() < soon, "seed {seed}: it does not look");
            tokio::time::sleep(Duration::from_micros(50)).await;
        }
        let wakes = Instant::now() + Duration::from_secs(60);
        sim.truth().faults.pause = Some((Instant::now(), wakes));
        let other = Daemon::start(&sim.rival()).await;
        let second = other.engine.submit(request(draft("good/books:22"))).await.unwrap();
        let (_other, theirs) = other.see_through(second.deployment).await;
        assert_eq!(theirs.outcome, Some(Outcome::Committed), "seed {seed}");
        assert!(Instant::now() < wakes, "it has not woken yet");
        tokio::time::sleep_until(wakes + Duration::from_secs(15)).await;
        check_live(&sim, theirs.colour.unwrap(), theirs.release.as_ref().unwrap().as_str());
        check_violations(&sim);
    });
}

#[test]
fn a_daemon_that_wakes_after_its_commit_leads_nobody_away_from_what_was_committed_since() {
    for seed in seeds() {
        in_virtual_time(async move {
            let sim = Sim::new(seed);
            let ours = Daemon::start(&sim).await;
            let first = ours.engine.submit(request(draft("good/books:1"))).await.unwrap();
            let (ours, _) = ours.see_through(first.deployment).await;
            let second = ours.engine.submit(request(draft("good/books:22"))).await.unwrap();
            let second = second.deployment;
            let commits =
                |entry: &Journalled| matches!(entry.record, Record::Began { step: Step::Commit });
            let began = || sim.with_journal(|journal| journal[&second].iter().any(commits));
            while !began() {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            tokio::time::sleep(millis(&sim, 1..8)).await;
            let now = Instant::now();
            let lasts = millis(&sim, 16_000..45_000);
            sim.truth().faults.pause = Some((now, now + lasts));
            let other = Daemon::start(&sim.rival()).await;
            let patient =
                Request { on_busy: OnBusy::Wait, ..request(slow(&sim, draft("good/books:333"))) };
            let third = other.engine.submit(patient).await.unwrap().deployment;
            let (_other, theirs) = other.see_through(third).await;
            assert_eq!(theirs.outcome, Some(Outcome::Committed), "seed {seed}");
            let (_ours, _) = ours.see_through(second).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            check_live(&sim, theirs.colour.unwrap(), theirs.release.as_ref().unwrap().as_str());
            check_violations(&sim);
        });
    }
}

/// `draft` with a deployment that takes its time.
fn slow(sim: &Sim, mut draft: Draft) -> Draft {
    draft.policy.stable_for = millis(sim, 1..8_000);
    let bake = Bake { duration: millis(sim, 1..8_000), max_errors: 0.1, min_requests: 1 };
    draft.policy.bake = Some(bake);
    draft
}

/// One daemon is stopped in the middle of its second deployment, the other deploys `theirs`, which takes
/// its time, so that the first wakes before or in the midst of it, or after it; when all has settled, the
/// two deployments are answered.
async fn wake_late(seed: u64, theirs: Draft) -> (Sim, DeploymentView, DeploymentView) {
    let sim = Sim::new(seed);
    let ours = Daemon::start(&sim).await;
    let first = ours.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
    let (ours, _) = ours.see_through(first).await;
    let second = ours.engine.submit(request(draft("good/books:22"))).await.unwrap().deployment;
    stop(&sim, second).await;
    let other = Daemon::start(&sim.rival()).await;
    let patient = Request { on_busy: OnBusy::Wait, ..request(slow(&sim, theirs)) };
    let third = other.engine.submit(patient).await.unwrap().deployment;
    let (_other, theirs) = other.see_through(third).await;
    let (_ours, ours) = ours.see_through(second).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    (sim, ours, theirs)
}

/// Our daemon is stopped for a while: at some instant of `deployment`, or right before its next write.
async fn stop(sim: &Sim, deployment: DeploymentId) {
    tokio::time::sleep(millis(sim, 1..3_000)).await;
    let lasts = millis(sim, 14_000..45_000);
    let is_open = || sim.truth().open.contains_key(&(By::Ours, deployment));
    if sim.truth().rng.bool() {
        sim.truth().losses.stopped = Some(lasts);
        while sim.truth().faults.pause.is_none() && is_open() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let now = Instant::now();
    sim.truth().faults.pause.get_or_insert((now, now + lasts));
}

fn millis(sim: &Sim, range: Range<u64>) -> Duration {
    Duration::from_millis(sim.truth().rng.u64(range))
}

/// Another daemon had the service while it was under way.
fn is_superseded(view: &DeploymentView) -> bool {
    matches!(&view.outcome, Some(Outcome::Reverted { failure })
        if failure.kind == FailureKind::Superseded)
}
