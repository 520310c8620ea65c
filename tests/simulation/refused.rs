//! What is told while the journal refuses, or takes its time: it counts before anything is done that was
//! decided without it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use verdigris::model::{
    Approval, Bake, DeploymentId, DeploymentView, Draft, FailureKind, Outcome, Phase, Step,
    StepState,
};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, service};
use crate::ends::{check_reverted, check_violations};
use crate::world::{Part, Picture, Sim};

const BAKES: Duration = Duration::from_secs(10);

/// For so long nothing can be journalled from right before the end of the bake.
const REFUSES: Duration = Duration::from_secs(20);

fn baking() -> Draft {
    let mut draft = draft("good/books:22");
    draft.policy.bake = Some(Bake { duration: BAKES, max_errors: 0.0, min_requests: 1 });
    draft
}

async fn when(daemon: &Daemon, id: DeploymentId, so: impl Fn(&DeploymentView) -> bool) {
    while !so(&daemon.engine.deployment(id).await.unwrap()) {
        sleep(Duration::from_millis(10)).await;
    }
}

/// It bakes, and has done so but for a moment.
async fn almost_baked(daemon: &Daemon, id: DeploymentId) {
    let bakes = |view: &DeploymentView| {
        view.steps.iter().any(|s| s.step == Step::Bake && s.state == StepState::Running)
    };
    when(daemon, id, bakes).await;
    sleep(BAKES.saturating_sub(Duration::from_millis(500))).await;
}

/// It is reverted for a reason of `kind`, exactly, and was never committed.
async fn ends_reverted(daemon: Daemon, id: DeploymentId, kind: FailureKind, before: &Picture) {
    let sim = daemon.sim.clone();
    let (_daemon, view) = daemon.see_through(id).await;
    let Some(Outcome::Reverted { failure }) = view.outcome else { panic!("{:?}", view.outcome) };
    assert_eq!(failure.kind, kind, "{failure:?}");
    check_reverted(&sim, &service(), before);
    check_violations(&sim);
}

#[test]
fn an_abort_that_was_taken_before_the_commit_is_done_keeps_it_from_being_done() {
    type Hinder = fn(&Sim);
    let refuses: Hinder = |sim| {
        sim.truth().faults.away.insert(Part::Journal, Instant::now() + REFUSES);
    };
    let takes_long: Hinder = |sim| {
        sim.truth().faults.slow.insert("append", REFUSES);
    };
    for hinder in [refuses, takes_long] {
        in_virtual_time(async move {
            let sim = Sim::new(1);
            let (daemon, id, before) = Daemon::deploying(&sim, baking()).await;
            almost_baked(&daemon, id).await;
            hinder(&sim);
            sleep(REFUSES / 2).await;
            daemon.engine.abort(id, "a person", "").await.unwrap();
            sim.truth().faults.slow.clear();
            sim.truth().in_flight = true;
            when(&daemon, id, |view| view.phase != Phase::Deploying).await;
            assert_eq!(daemon.engine.deployment(id).await.unwrap().phase, Phase::Reverting);
            // Whoever asks once more is not told that it has committed.
            daemon.engine.abort(id, "a person", "").await.unwrap();
            ends_reverted(daemon, id, FailureKind::Aborted, &before).await;
        });
    }
}

#[test]
fn the_deadline_counts_until_the_commit_is_done() {
    in_virtual_time(async {
        let sim = Sim::new(2);
        let mut second = baking();
        second.policy.deadline = BAKES + REFUSES;
        let (daemon, id, before) = Daemon::deploying(&sim, second).await;
        almost_baked(&daemon, id).await;
        sim.truth().faults.away.insert(Part::Journal, Instant::now() + REFUSES);
        ends_reverted(daemon, id, FailureKind::Deadline, &before).await;
    });
}

#[test]
fn an_abort_that_comes_before_the_switch_is_done_leaves_the_public_where_it_is() {
    in_virtual_time(async {
        let sim = Sim::new(3);
        let mut second = draft("good/books:22");
        second.policy.approve = Some(Approval { expires: Duration::from_secs(60) });
        let (daemon, id, before) = Daemon::deploying(&sim, second).await;
        when(&daemon, id, |view| view.phase == Phase::Waiting).await;
        sim.truth().faults.away.insert(Part::Journal, Instant::now() + REFUSES);
        let acted = sim.truth().trace.len();
        daemon.engine.approve(id, "jane").await.unwrap();
        sleep(REFUSES / 2).await;
        daemon.engine.abort(id, "jane", "").await.unwrap();
        ends_reverted(daemon, id, FailureKind::Aborted, &before).await;
        let moved = sim.truth().trace[acted..].iter().any(|(_, what)| what == "flip");
        assert!(!moved, "it was switched");
    });
}
