//! Deployments that are stopped from outside: aborted, rejected, out of time. At each step.

use std::time::Duration;

use serde_json::{Value, json};
use verdigris::api::Because;
use verdigris::model::{FailureKind, Outcome, Step};

use crate::support::world::{Ended, request};
use crate::support::{Proxy, Registry, Stack, Traffic, World};

fn because() -> Because {
    Because { by: "tester".to_owned(), why: "a test".to_owned() }
}

fn hanging(world: &World) -> Vec<Value> {
    let image = world.bed.image("books-ms-tests:1.0");
    vec![json!({ "container": { "image": image, "env": { "TESTS_MODE": "hang" } } })]
}

/// A stack that takes its time at `step`.
fn slow_at(world: &World, step: Step) -> Stack {
    let stack = world.books("2.0");
    match step {
        Step::PreDeployment => stack.gate("pre_deployment", &hanging(world)),
        Step::Await => stack.fault("healthy-late=60").with("/healthcheck/retries", 1000),
        Step::PreIntegration => stack.gate("pre_integration", &hanging(world)),
        Step::Approve => stack.asking("approve", true),
        Step::PostIntegration => stack.gate("post_integration", &hanging(world)),
        Step::Bake => stack.asking("bake", json!({ "for": "60s" })),
        _ => stack,
    }
}

const UNTIL_COMMIT: [Step; 11] = [
    Step::Prepare,
    Step::PreDeployment,
    Step::Start,
    Step::Await,
    Step::Register,
    Step::Stage,
    Step::PreIntegration,
    Step::Approve,
    Step::Switch,
    Step::PostIntegration,
    Step::Bake,
];

async fn aborted_at_each_step(registry: Registry, proxy: Proxy) {
    let Some(world) = World::with_first(registry, proxy).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    for step in UNTIL_COMMIT {
        let before = world.settled().await;
        // The step itself, or the next one that waits, is interrupted.
        let waits = match step {
            Step::Start => Step::Await,
            Step::Register | Step::Stage => Step::PreIntegration,
            Step::Switch => Step::PostIntegration,
            Step::Prepare => Step::PreDeployment,
            step => step,
        };
        let id = world.submit(request(&slow_at(&world, waits))).await.unwrap().deployment;
        world.until_begun(id, step).await;
        world.client().abort(id, &because()).await.unwrap();
        let ended = world.end_of(id).await;
        assert_eq!(ended.exit(), 50, "{step}: {}", ended.story());
        assert!(ended.told().contains("aborted by tester: a test"), "{step}: {}", ended.told());
        let Outcome::Reverted { failure } = ended.outcome() else { panic!("{}", ended.story()) };
        assert!((step..=waits).contains(&failure.step), "{step}: {}", ended.story());
        let difference = world.settles_as(&before).await;
        difference.unwrap_or_else(|difference| panic!("aborted at {step}: {difference}"));
    }
    traffic.end("aborts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_with_consul() {
    aborted_at_each_step(Registry::Consul, Proxy::Both).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_with_the_embedded_registry() {
    aborted_at_each_step(Registry::Embedded, Proxy::Both).await;
}

/// The end of a deployment whose deadline passes at `step`: on a busy machine it may take some time
/// to get there, so it is given more until it does.
async fn overdue_at(world: &World, step: Step) -> Ended {
    for seconds in [6, 15, 40] {
        let mut request = request(&slow_at(world, step));
        request.deadline = Some(Duration::from_secs(seconds));
        let ended = world.run(request).await;
        let Outcome::Reverted { failure } = ended.outcome() else { return ended };
        if failure.step == step || failure.kind != FailureKind::Deadline {
            return ended;
        }
    }
    panic!("the deadline never passes at `{step}`");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_passes_at_each_step_that_waits() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    for step in [
        Step::PreDeployment,
        Step::Await,
        Step::PreIntegration,
        // While a person is asked the deadline does not run: that has a limit of its own.
        Step::PostIntegration,
        Step::Bake,
    ] {
        let before = world.settled().await;
        let ended = overdue_at(&world, step).await;
        assert_eq!(ended.exit(), 40, "{step}: {}", ended.story());
        assert!(ended.told().contains(&format!("during `{step}`")), "{}", ended.told());
        let difference = world.settles_as(&before).await;
        difference.unwrap_or_else(|difference| panic!("too late at {step}: {difference}"));
    }
    traffic.end("deadlines").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn approved_and_rejected() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Haproxy).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    let stack = slow_at(&world, Step::Approve);
    let before = world.settled().await;
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;
    world.reject(id).await;
    let ended = world.end_of(id).await;
    assert_eq!(ended.exit(), 32, "{}", ended.story());
    assert!(ended.told().contains("rejected by tester: a test"), "{}", ended.told());
    let Outcome::Reverted { failure } = ended.outcome() else { panic!("{}", ended.story()) };
    assert_eq!(failure.step, Step::Approve, "{}", ended.story());
    world.settles_as(&before).await.unwrap();

    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;
    world.approve(id).await;
    world.end_of(id).await.committed();
    traffic.end("approved and rejected").await;
}
