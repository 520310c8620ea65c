//! What is kept of the old colour, and the way back to it.

use serde_json::{Value, json};
use verdigris::model::Colour;

use crate::support::world::rollback;
use crate::support::{Proxy, Registry, Traffic, World};

fn replicas(picture: &crate::support::Picture, colour: &str) -> Option<u64> {
    let spec: Value =
        serde_json::from_str(picture.part(&format!("service books-ms-{colour}"))?).unwrap();
    Some(spec["Mode"]["Replicated"]["Replicas"].as_u64().unwrap_or(0))
}

/// Deploys a second release that keeps the first as `retain` says, then goes back.
async fn there_and_back(registry: Registry, retain: Value, kept: Option<u64>) {
    let Some(world) = World::new(registry, Proxy::Both).await else { return };
    world.deploy(&world.books("1.0").asking("retain", retain.clone())).await.committed();
    let traffic = Traffic::start(&world, "books-ms");
    world.deploy(&world.books("2.0").asking("retain", retain.clone())).await.committed();
    assert_eq!(replicas(&world.picture().await, "blue"), kept, "{retain}");

    let back = world.run(rollback("books-ms")).await.committed();
    assert_eq!(back.view.colour, Some(Colour::Blue));
    assert_eq!(back.view.kind, "rollback");
    eprintln!("{retain}: the switch back took {:?} µs", back.view.switch_micros);
    let picture = world.picture().await;
    assert_eq!(replicas(&picture, "blue"), Some(2));
    assert_eq!(replicas(&picture, "green"), kept, "the policy of the release holds here too");
    let blue = picture.part("service books-ms-blue").unwrap();
    assert!(blue.contains("books-ms:1.0@sha256:") || blue.contains("books-ms@sha256:"), "{blue}");
    let report = traffic.end(&format!("rolled back, {retain}")).await;
    let last = report.seen.iter().max_by_key(|seen| seen.last_begun_us).unwrap();
    assert_eq!(last.colour, "blue");
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_running() {
    there_and_back(Registry::Embedded, json!({}), Some(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_without_replicas() {
    there_and_back(Registry::Consul, json!({ "scale": 0 }), Some(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed() {
    there_and_back(Registry::Embedded, json!({ "releases": 0 }), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_for_a_while() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Haproxy).await else { return };
    let retain = json!({ "scale": 0, "for": "1s" });
    world.deploy(&world.books("2.0").asking("retain", retain)).await.committed();
    let begun = std::time::Instant::now();
    while replicas(&world.picture().await, "blue").is_some() {
        // It is looked for every ten seconds.
        assert!(begun.elapsed().as_secs() < 25, "it is still there:\n{}", world.daemon.said());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}
