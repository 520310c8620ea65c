//! More than one deployment: of one service they take turns, of many they go side by side.

use std::time::Instant;

use rstest::rstest;
use serde_json::{Value, json};
use verdigris::api::Because;
use verdigris::deploy::control::RefusalKind;
use verdigris::model::{OnBusy, Outcome, Request, Step};

use crate::support::world::request;
use crate::support::{Picture, Proxy, Registry, Stack, Traffic, World};

/// Holds the stage: waits for an approval that never comes.
async fn held(world: &World) -> verdigris::model::DeploymentId {
    let stack = world.books("2.0").asking("approve", true);
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;
    id
}

fn third(world: &World, on_busy: OnBusy) -> Request {
    Request { on_busy, ..request(&world.books("3.0")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_is_refused_or_supersedes_as_asked() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    let first = held(&world).await;

    let refusal = world.submit(third(&world, OnBusy::Refuse)).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Busy);
    assert_eq!(refusal.deployment, Some(first));
    assert!(refusal.message.contains(&first.to_string()), "{refusal:?}");

    // The very same again is no second one: whoever asks follows the first.
    let again = request(&world.books("2.0").asking("approve", true));
    let attached = world.submit(again).await.unwrap();
    assert_eq!((attached.deployment, attached.attached), (first, true));

    let second = world.submit(third(&world, OnBusy::Supersede)).await.unwrap().deployment;
    let superseded = world.end_of(first).await;
    assert_eq!(superseded.exit(), 31, "{}", superseded.story());
    world.end_of(second).await.committed();
    traffic.end("superseded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_waits_when_asked_and_the_order_of_commits_is_kept() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Haproxy).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    let slow = world.books("2.0").asking("bake", json!({ "for": "2s" }));
    let first = Request { sequence: Some(7), ..request(&slow) };
    let first = world.submit(first).await.unwrap().deployment;
    let second = world.submit(third(&world, OnBusy::Wait)).await.unwrap().deployment;
    let (first, second) = tokio::join!(world.end_of(first), world.end_of(second));
    let (first, second) = (first.committed(), second.committed());
    assert!(first.view.ended < second.view.ended);
    let began = |ended: &crate::support::world::Ended| ended.view.steps[0].began;
    assert!(began(&second) >= first.view.ended, "the second began before the first had ended");

    let older = Request { sequence: Some(6), ..request(&world.books("1.0")) };
    let refusal = world.submit(older).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::OutOfSequence);
    assert!(refusal.message.contains('6') && refusal.message.contains('7'), "{refusal:?}");

    let same = world.deploy(&world.books("3.0")).await;
    assert_eq!(same.outcome(), &Outcome::Unchanged, "{}", same.story());
    traffic.end("one waits for the other").await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn twenty_services_at_once_all_commit_with_few_reloads_whatever_two_more_do(
    #[values(Registry::Embedded, Registry::Consul)] registry: Registry,
) {
    let Some(world) = World::with_first(registry, Proxy::Both).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    let stacks: Vec<Stack> = (0..20).map(|number| one_of_many(&world, number)).collect();
    let hanging = one_of_many(&world, 20).gate("pre_integration", &[hanging(&world)]);
    let hanging = world.submit(request(&hanging)).await.unwrap().deployment;
    world.until_begun(hanging, Step::PreIntegration).await;
    let failing = one_of_many(&world, 21).fault("exit-at-start");
    let failing = world.submit(request(&failing)).await.unwrap().deployment;
    let begun = Instant::now();
    let before = reloads(&world).await;
    let ended =
        futures_util::future::join_all(stacks.iter().map(|stack| world.deploy(stack))).await;
    for ended in ended {
        ended.committed();
    }
    let failed = world.end_of(failing).await;
    assert_eq!(failed.exit(), 10, "{}", failed.story());
    assert!(
        world.client().deployment(hanging).await.unwrap().outcome.is_none(),
        "it hangs no more"
    );
    let because = Because { by: "tester".to_owned(), why: "it hangs".to_owned() };
    world.client().abort(hanging, &because).await.unwrap();
    assert_eq!(world.end_of(hanging).await.exit(), 50);
    let reloads = reloads(&world).await.into_iter().zip(before).map(|(now, then)| now - then);
    let reloads: Vec<u64> = reloads.collect();
    eprintln!("twenty services in {:?}, reloads {reloads:?}", begun.elapsed());
    assert!(reloads.iter().all(|reloads| *reloads <= 10), "{reloads:?} reloads for 20 services");
    let picture: Picture = world.picture().await;
    assert_eq!(picture.parts("service ").count(), 20 + 1, "and the one that was there before");
    let status = world.client().status(None).await.unwrap();
    assert!(status.proxies.iter().all(|proxy| proxy.in_sync), "{:?}", status.proxies);
    traffic.end("twenty services").await;
}

/// A service of its own, with one instance.
fn one_of_many(world: &World, number: usize) -> Stack {
    Stack::new(&format!("s{number}"), &world.bed.image("books-ms:1.0"))
        .with("/deploy/replicas", 1)
        // Twenty checks at once are slow on a small machine, and none the less healthy.
        .with("/healthcheck/interval", "2s")
        .with("/healthcheck/timeout", "15s")
        .asking("deadline", "4m")
}

/// A gate that never ends by itself.
fn hanging(world: &World) -> Value {
    let image = world.bed.image("books-ms-tests:1.0");
    json!({ "container": { "image": image, "env": { "TESTS_MODE": "hang" } }, "timeout": "10m" })
}

async fn reloads(world: &World) -> Vec<u64> {
    let status = world.client().status(None).await.unwrap();
    status.proxies.iter().map(|proxy| proxy.reloads).collect()
}
