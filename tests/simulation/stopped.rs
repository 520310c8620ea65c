//! What is said of a deployment that was stopped from outside.

use std::time::Duration;

use tokio::time::sleep;
use verdigris::model::{
    Approval, Bake, DeploymentId, Draft, Failure, FailureKind, Happening, OnBusy, Outcome, Request,
    Step, StepState,
};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, request};
use crate::world::Sim;

/// Each step that may take long, but for `await`, which the world ends by itself.
const WAITS: [Step; 5] =
    [Step::PreDeployment, Step::PreIntegration, Step::Approve, Step::PostIntegration, Step::Bake];

/// A release that stays at `step`.
fn held_at(step: Step) -> Draft {
    let mut draft = draft("good/books:22");
    let policy = &mut draft.policy;
    match step {
        Step::PreDeployment => policy.gates.pre_deployment = vec![gate("hang")],
        Step::PreIntegration => policy.gates.pre_integration = vec![gate("hang")],
        Step::PostIntegration => policy.gates.post_integration = vec![gate("hang")],
        Step::Approve => policy.approve = Some(Approval { expires: Duration::from_secs(300) }),
        Step::Bake => {
            let duration = Duration::from_secs(300);
            policy.bake = Some(Bake { duration, max_errors: 0.0, min_requests: 1 });
        }
        other => panic!("nothing keeps it at `{other}`"),
    }
    draft
}

async fn until_at(daemon: &Daemon, id: DeploymentId, step: Step) {
    let runs = |state: &verdigris::model::StepView| {
        state.step == step && state.state == StepState::Running
    };
    while !daemon.engine.deployment(id).await.unwrap().steps.iter().any(runs) {
        sleep(Duration::from_millis(10)).await;
    }
    // What else began with it has ended.
    sleep(Duration::from_secs(5)).await;
}

/// Why it was reverted; the view and the log say the same.
async fn why_reverted(daemon: Daemon, id: DeploymentId) -> Failure {
    let (daemon, view) = daemon.see_through(id).await;
    let Some(Outcome::Reverted { failure }) = view.outcome else { panic!("{:?}", view.outcome) };
    assert_eq!(view.failure.as_ref(), Some(&failure));
    let runs = view.steps.iter().find(|step| step.state == StepState::Running);
    assert_eq!(runs, None, "it has ended");
    for step in view.steps.iter().filter(|step| step.state == StepState::Stopped) {
        assert!(step.ended >= step.began && step.began.is_some(), "{step:?}");
    }
    if [Step::Approve, Step::Bake].contains(&failure.step) {
        let met = view.steps.iter().find(|step| step.step == failure.step).unwrap();
        assert_eq!(met.state, StepState::Stopped, "it leaves nothing that is undone");
    }
    let events = daemon.engine.events(id).await.unwrap();
    let stopped = events.iter().find(|event| matches!(event.what, Happening::Stopped { .. }));
    assert_eq!(stopped.and_then(|event| event.step), Some(failure.step));
    failure
}

#[test]
fn an_abort_and_a_newer_deployment_are_blamed_on_the_step_that_they_meet() {
    for step in WAITS {
        in_virtual_time(async move {
            let sim = Sim::new(1);
            let (daemon, id, _) = Daemon::deploying(&sim, held_at(step)).await;
            until_at(&daemon, id, step).await;
            daemon.engine.abort(id, "jane", "a typo").await.unwrap();
            let failure = why_reverted(daemon, id).await;
            assert_eq!((failure.kind, failure.step), (FailureKind::Aborted, step));
            assert_eq!(failure.message, "aborted by jane: a typo");
            assert_eq!(failure.details, [""; 0]);
        });
        in_virtual_time(async move {
            let sim = Sim::new(2);
            let (daemon, id, _) = Daemon::deploying(&sim, held_at(step)).await;
            until_at(&daemon, id, step).await;
            let newer = Request { on_busy: OnBusy::Supersede, ..request(draft("good/books:333")) };
            daemon.engine.submit(newer).await.unwrap();
            let failure = why_reverted(daemon, id).await;
            assert_eq!((failure.kind, failure.step), (FailureKind::Superseded, step));
        });
    }
}

#[test]
fn all_steps_that_an_abort_meets_are_named() {
    in_virtual_time(async {
        let sim = Sim::new(3);
        let (daemon, id, _) = Daemon::deploying(&sim, held_at(Step::PreIntegration)).await;
        sim.truth().faults.slow.insert("stage", Duration::from_secs(60));
        until_at(&daemon, id, Step::PreIntegration).await;
        daemon.engine.abort(id, "jane", "").await.unwrap();
        let failure = why_reverted(daemon, id).await;
        assert_eq!(failure.step, Step::PreIntegration);
        assert_eq!(failure.details, ["under way: stage, pre-integration"]);
    });
}

#[test]
fn one_that_is_aborted_before_its_turn_says_that_nothing_was_under_way() {
    in_virtual_time(async {
        let sim = Sim::new(4);
        let (daemon, first, _) = Daemon::deploying(&sim, held_at(Step::Approve)).await;
        until_at(&daemon, first, Step::Approve).await;
        let waits = Request { on_busy: OnBusy::Wait, ..request(draft("good/books:333")) };
        let id = daemon.engine.submit(waits).await.unwrap().deployment;
        daemon.engine.abort(id, "jane", "").await.unwrap();
        let failure = why_reverted(daemon, id).await;
        assert_eq!(failure.step, Step::Prepare);
        assert_eq!(failure.details, ["no step was under way"]);
    });
}
