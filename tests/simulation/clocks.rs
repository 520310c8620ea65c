//! A wall clock that jumps decides nothing.

use std::time::Duration;

use verdigris::model::{Approval, DeploymentView, Draft, FailureKind, Outcome};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, request};
use crate::world::Sim;

const DAY: i64 = 24 * 3600;

/// Deploy `draft`; a while later the wall clock jumps, and if asked the daemon is started anew.
async fn jump(
    draft: Draft,
    skew: i64,
    restart: bool,
    approve_after: Option<u64>,
) -> DeploymentView {
    let sim = Sim::new(1);
    let daemon = Daemon::start(&sim).await;
    let id = daemon.engine.submit(request(draft)).await.unwrap().deployment;
    tokio::time::sleep(Duration::from_secs(5)).await;
    sim.truth().skew += skew;
    let daemon = if restart { daemon.restart().await } else { daemon };
    if let Some(seconds) = approve_after {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        daemon.engine.approve(id, "a person").await.unwrap();
    }
    daemon.see_through(id).await.1
}

fn waits(expires: u64) -> Draft {
    let mut draft = draft("good/books:1");
    draft.policy.deadline = Duration::from_secs(10);
    draft.policy.approve = Some(Approval { expires: Duration::from_secs(expires) });
    draft
}

fn hangs() -> Draft {
    let mut draft = draft("good/books:1");
    draft.policy.deadline = Duration::from_secs(20);
    draft.policy.gates.pre_integration = vec![gate("hang")];
    draft
}

fn kind(view: &DeploymentView) -> Option<FailureKind> {
    match &view.outcome {
        Some(Outcome::Reverted { failure }) => Some(failure.kind),
        _ => None,
    }
}

#[test]
fn the_deadline_is_counted_by_time_that_passes() {
    for skew in [DAY, -DAY] {
        in_virtual_time(async move {
            let began = tokio::time::Instant::now();
            let view = jump(hangs(), skew, false, None).await;
            assert_eq!(kind(&view), Some(FailureKind::Deadline), "{skew}");
            let took = began.elapsed();
            assert!(took > Duration::from_secs(19) && took < Duration::from_secs(22), "{took:?}");
        });
    }
}

#[test]
fn a_restart_gives_at_most_the_whole_deadline_again() {
    for (skew, least, most) in [(DAY, 4, 8), (-DAY, 20, 28), (0, 19, 22)] {
        in_virtual_time(async move {
            let began = tokio::time::Instant::now();
            let view = jump(hangs(), skew, true, None).await;
            assert_eq!(kind(&view), Some(FailureKind::Deadline), "{skew}");
            let took = began.elapsed().as_secs();
            assert!((least..=most).contains(&took), "{skew}: {took} s");
        });
    }
}

#[test]
fn the_wait_for_a_person_does_not_count() {
    for (skew, restart) in [(0, false), (DAY, false), (-DAY, false), (0, true)] {
        in_virtual_time(async move {
            let view = jump(waits(3600), skew, restart, Some(600)).await;
            assert_eq!(view.outcome, Some(Outcome::Committed), "{skew} {restart}");
        });
    }
}

#[test]
fn an_approval_expires_by_time_that_passes() {
    for (skew, restart) in [(0, false), (DAY, false), (-DAY, false), (0, true)] {
        in_virtual_time(async move {
            let began = tokio::time::Instant::now();
            let view = jump(waits(60), skew, restart, None).await;
            assert_eq!(kind(&view), Some(FailureKind::Approval), "{skew} {restart}");
            let took = began.elapsed().as_secs();
            assert!((60..=70).contains(&took), "{skew} {restart}: {took} s");
        });
    }
}
