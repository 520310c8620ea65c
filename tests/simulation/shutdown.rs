//! The daemon is asked to end in the middle of what takes long, and what is tried for long is told once.

use std::time::Duration;

use tokio::time::Instant;
use verdigris::app::GRACE;
use verdigris::model::{Approval, DeploymentId, Draft, Happening, Outcome, Phase, Retain, Step};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, service};
use crate::ends::{check_reverted, check_violations};
use crate::world::{Answer, Daemon as SimDaemon, Part, Picture, Sim, Stubborn};

/// A release that fails once it has the traffic.
fn failing(drain: Duration) -> Draft {
    let mut failing = draft("good/books:22");
    failing.policy.gates.post_integration = vec![gate("fail")];
    failing.policy.drain = drain;
    failing
}

async fn when(sim: &Sim, it_is_so: impl Fn(&Sim) -> bool) {
    while !it_is_so(sim) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// It ends within its grace, and the next start brings the revert to its end.
async fn ends_and_goes_on(daemon: Daemon, id: DeploymentId, before: &Picture) {
    let sim = daemon.sim.clone();
    let asked = Instant::now();
    let daemon = daemon.restart().await;
    assert!(asked.elapsed() < GRACE / 4, "it took {:?}", asked.elapsed());
    assert!(sim.truth().open.contains_key(&(SimDaemon::Ours, id)), "it is not at its end");
    sim.truth().in_flight = false;
    sim.truth().refuse_restore = None;
    let (_daemon, view) = daemon.see_through(id).await;
    assert!(matches!(view.outcome, Some(Outcome::Reverted { .. })), "{:?}", view.outcome);
    check_reverted(&sim, &service(), before);
    check_violations(&sim);
}

#[test]
fn a_revert_that_waits_for_requests_is_parked() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        sim.truth().in_flight = true;
        let (daemon, id, before) =
            Daemon::deploying(&sim, failing(Duration::from_secs(3600))).await;
        when(&sim, |sim| sim.truth().drains > 0).await;
        ends_and_goes_on(daemon, id, &before).await;
    });
}

#[test]
fn a_revert_that_rests_between_two_tries_is_parked() {
    in_virtual_time(async {
        let sim = Sim::new(2);
        sim.truth().refuse_restore = Some("books-ms-green".to_owned());
        let (daemon, id, before) = Daemon::deploying(&sim, failing(Duration::ZERO)).await;
        let begun = Instant::now();
        when(&sim, |sim| !sim.truth().faults.refused(&["restore"], begun).is_empty()).await;
        // By then the rest takes two seconds.
        tokio::time::sleep(Duration::from_secs(6)).await;
        ends_and_goes_on(daemon, id, &before).await;
    });
}

#[test]
fn a_daemon_whose_journal_refuses_ends_at_once() {
    in_virtual_time(async {
        let sim = Sim::new(5);
        let mut second = draft("good/books:22");
        second.policy.approve = Some(Approval { expires: Duration::from_secs(60) });
        let (daemon, id, before) = Daemon::deploying(&sim, second).await;
        while daemon.engine.deployment(id).await.unwrap().phase != Phase::Waiting {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Less than what the next life needs to call anything stuck.
        sim.truth().faults.away.insert(Part::Journal, Instant::now() + GRACE / 2);
        daemon.engine.approve(id, "jane").await.unwrap();
        // By then the approval waits to be written down, and nothing is done on its strength.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let asked = Instant::now();
        let daemon = daemon.restart().await;
        assert!(asked.elapsed() < GRACE / 8, "it took {:?}", asked.elapsed());
        let (_daemon, view) = daemon.see_through(id).await;
        let Some(Outcome::Reverted { failure }) = view.outcome else { panic!("{view:?}") };
        assert_eq!(failure.message, "nobody approved within 1m");
        check_reverted(&sim, &service(), &before);
        check_violations(&sim);
    });
}

#[test]
fn requests_are_waited_for_once_however_often_the_revert_is_tried() {
    in_virtual_time(async {
        let sim = Sim::new(3);
        sim.truth().in_flight = true;
        let (daemon, id, before) = Daemon::deploying(&sim, failing(Duration::from_secs(10))).await;
        when(&sim, |sim| sim.truth().drains > 0).await;
        sim.truth().stubborn.push(Stubborn {
            what: "restore a proxy",
            proxy: None,
            answer: Answer::Refused,
            until: Some(Instant::now() + Duration::from_secs(60)),
        });
        let (_daemon, view) = daemon.see_through(id).await;
        assert!(matches!(view.outcome, Some(Outcome::Reverted { .. })), "{:?}", view.outcome);
        assert_eq!(sim.truth().drains, 1);
        check_reverted(&sim, &service(), &before);
    });
}

#[test]
fn what_is_tried_for_long_is_told_once() {
    in_virtual_time(async {
        let sim = Sim::new(4);
        let mut second = draft("good/books:22");
        second.policy.retain = Retain { releases: 1, scale: Some(0), duration: None };
        let (daemon, id, _) = Daemon::deploying(&sim, second).await;
        when(&sim, |sim| sim.truth().committed.values().any(|last| last.deployment == id)).await;
        let back = Instant::now() + Duration::from_secs(300);
        sim.truth().faults.away.insert(Part::Swarm, back);
        let (daemon, view) = daemon.see_through(id).await;
        assert_eq!(view.outcome, Some(Outcome::Committed));
        let events = daemon.engine.events(id).await.unwrap();
        let notes = events.iter().filter(|event| {
            event.step == Some(Step::Retire) && matches!(event.what, Happening::Note { .. })
        });
        assert_eq!(notes.count(), 1, "{events:?}");
        let stuck = events.iter().filter(|e| matches!(e.what, Happening::Stuck { .. }));
        assert_eq!(stuck.count(), 1, "{events:?}");
    });
}
