//! Releases that need a test of their own: the first one, one that only looks broken, one beside a kept colour.

use serde_json::json;
use verdigris::model::{Outcome, Step};

use crate::support::world::request;
use crate::support::{Proxy, Registry, Stack, Traffic, World};

/// The new colour is watched while it bakes: one instance that ends is enough.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_dies_while_it_bakes() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let traffic = Traffic::short(&world, "books-ms");
    let before = world.settled().await;
    let stack = world.books("2.0").asking("bake", json!({ "for": "60s" }));
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Bake).await;
    let now = world.picture().await;
    let (victim, _) = now.parts("running books-ms-green").next().unwrap();
    world.bed.docker(&["kill", victim.split_whitespace().last().unwrap()]);
    let ended = world.end_of(id).await;
    assert_eq!(ended.exit(), 12, "{}", ended.story());
    assert!(ended.told().contains("books-ms-green"), "{}", ended.told());
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
    traffic.end("an instance dies while it bakes").await;
}

/// With credentials in Docker's configuration file, what a private registry holds is deployed.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_registry_of_images_is_used_with_its_credentials() {
    let login = tempfile::tempdir().unwrap();
    let line = format!("docker_config = \"{}\"\n", login.path().display());
    let change = |config: String| config.replace("[swarm]\n", &format!("[swarm]\n{line}"));
    let Some(world) = World::with(Registry::Embedded, Proxy::Nginx, change).await else { return };
    let registry = world.bed.env("TESTBED_PRIVATE_IMAGES");
    let stack = Stack::new("books-ms", &format!("{registry}/books-ms:1.0"));
    world.write_login(login.path());
    world.deploy(&stack).await.committed();
}

/// Slow is not broken: what becomes healthy in the end is deployed.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_healthy_late_commits() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Haproxy).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    // Long enough to be seen unhealthy, and for less than the retries.
    let stack = world.books("2.0").fault("healthy-late=6").with("/healthcheck/retries", 20);
    world.deploy(&stack).await.committed();
    world.until_answered("haproxy", "green").await;
    traffic.end("healthy late").await;
}

/// The very first release: there was nothing before, and there is nothing after.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_release_that_fails_leaves_nothing() {
    let Some(world) = World::new(Registry::Consul, Proxy::Both).await else { return };
    let before = world.settled().await;
    for (fault, exit) in [("never-healthy", 10), ("right-only-direct", 12)] {
        let ended = world.deploy(&world.books("1.0").fault(fault)).await;
        assert_eq!(ended.exit(), exit, "{}", ended.story());
        world
            .settles_as(&before)
            .await
            .unwrap_or_else(|difference| panic!("{fault}: {difference}"));
    }
}

/// The idle colour was kept, scaled to zero: a revert puts its spec and scale back.
#[tokio::test(flavor = "multi_thread")]
async fn a_kept_colour_is_put_back() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    for scale in [json!({ "scale": 0 }), json!({})] {
        let edition = if scale["scale"].is_null() { "3.0" } else { "2.0" };
        world.deploy(&world.books(edition).asking("retain", scale.clone())).await.committed();
        if !scale["scale"].is_null() {
            // It was scaled when the engine had accepted that; its containers take a while to end.
            world.until_gone("running books-ms-blue ").await;
        }
        let before = world.settled().await;
        for fault in ["exit-at-start", "right-only-direct"] {
            let ended = world.deploy(&world.books("1.0").fault(fault)).await;
            assert!(matches!(ended.outcome(), Outcome::Reverted { .. }), "{}", ended.story());
            let difference = match scale["scale"].is_null() {
                // A colour that was kept running was replaced by the broken release: its spec and
                // scale are back, its containers are new ones.
                true => world.settles_as_but_for_containers(&before).await,
                false => world.settles_as(&before).await,
            };
            difference.unwrap_or_else(|difference| panic!("{scale} {fault}: {difference}"));
        }
    }
}
