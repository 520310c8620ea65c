//! What a bake counts, and what it bears with.

use std::time::Duration;

use tokio::time::Instant;
use verdigris::model::{
    Approval, Bake, DeploymentId, DeploymentView, Draft, FailureKind, Outcome, Phase, StepState,
};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::draft;
use crate::ends::check_violations;
use crate::world::{Part, Sim};

const GREEN: &str = "books-ms-green";

fn baking() -> Draft {
    let mut draft = draft("good/books:22");
    let duration = Duration::from_secs(60);
    draft.policy.bake = Some(Bake { duration, max_errors: 0.0, min_requests: 1 });
    draft
}

async fn when(daemon: &Daemon, id: DeploymentId, so: impl Fn(&DeploymentView) -> bool) {
    while !so(&daemon.engine.deployment(id).await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_baking(view: &DeploymentView) -> bool {
    let running = |state| state == StepState::Running;
    view.steps.iter().any(|step| step.step.as_str() == "bake" && running(step.state))
}

#[test]
fn an_instance_that_ended_before_the_switch_and_was_followed_is_no_verdict() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let mut second = baking();
        second.policy.approve = Some(Approval { expires: Duration::from_secs(600) });
        let (daemon, id, _) = Daemon::deploying(&sim, second).await;
        when(&daemon, id, |view| view.phase == Phase::Waiting).await;
        sim.let_die(GREEN);
        tokio::time::sleep(Duration::from_secs(5)).await;
        daemon.engine.approve(id, "a person").await.unwrap();
        let (_daemon, view) = daemon.see_through(id).await;
        assert_eq!(view.outcome, Some(Outcome::Committed));
        check_violations(&sim);
    });
}

#[test]
fn an_instance_that_ends_under_the_traffic_is_one() {
    in_virtual_time(async {
        let sim = Sim::new(2);
        let (daemon, id, _) = Daemon::deploying(&sim, baking()).await;
        when(&daemon, id, is_baking).await;
        sim.let_die(GREEN);
        let (_daemon, view) = daemon.see_through(id).await;
        let Some(Outcome::Reverted { failure }) = view.outcome else {
            panic!("{:?}", view.outcome)
        };
        assert_eq!(failure.kind, FailureKind::PostGate, "{failure:?}");
        check_violations(&sim);
    });
}

#[test]
fn a_colour_of_which_nothing_runs_any_more_is_not_committed() {
    in_virtual_time(async {
        let sim = Sim::new(4);
        let (daemon, id, _) = Daemon::deploying(&sim, baking()).await;
        when(&daemon, id, is_baking).await;
        sim.let_go_missing(GREEN);
        sim.let_go_missing(GREEN);
        let (_daemon, view) = daemon.see_through(id).await;
        let Some(Outcome::Reverted { failure }) = view.outcome else {
            panic!("{:?}", view.outcome)
        };
        assert_eq!(failure.kind, FailureKind::PostGate, "{failure:?}");
        assert!(failure.message.contains("runs any more"), "{failure:?}");
        check_violations(&sim);
    });
}

#[test]
fn an_instance_that_is_lost_with_its_node_is_waited_for() {
    in_virtual_time(async {
        let sim = Sim::new(5);
        let (daemon, id, _) = Daemon::deploying(&sim, baking()).await;
        when(&daemon, id, is_baking).await;
        sim.let_go_missing(GREEN);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert!(is_baking(&daemon.engine.deployment(id).await.unwrap()), "half of it is enough");
        sim.let_come(GREEN);
        let (_daemon, view) = daemon.see_through(id).await;
        assert_eq!(view.outcome, Some(Outcome::Committed));
        check_violations(&sim);
    });
}

#[test]
fn whoever_does_not_answer_for_a_while_is_asked_again() {
    for part in [Part::Swarm, Part::Other] {
        in_virtual_time(async move {
            let sim = Sim::new(3);
            let (daemon, id, _) = Daemon::deploying(&sim, baking()).await;
            when(&daemon, id, is_baking).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            let back = Instant::now() + Duration::from_secs(10);
            sim.truth().faults.away.insert(part, back);
            let (_daemon, view) = daemon.see_through(id).await;
            assert_eq!(view.outcome, Some(Outcome::Committed), "{part:?} was away");
        });
    }
}
