//! The daemon is killed right after each append to the journal of a deployment, and started again: the
//! end is reached unattended, exactly, with nothing lost meanwhile.
#![cfg(feature = "failpoints")]

use std::time::{Duration, Instant};

use serde_json::json;
use verdigris::model::{DeploymentId, Outcome, Request};

use crate::support::daemon::Daemon;
use crate::support::world::{Ended, request, rollback};
use crate::support::{Picture, Proxy, Registry, Stack, Traffic, World};

/// No deployment appends more often; a bound for the loop.
const MANY: usize = 60;

/// A stack that goes through quickly, keeping the old colour running.
fn quick(world: &World, edition: &str) -> Stack {
    world
        .books(edition)
        .asking("stable_for", "100ms")
        .asking("drain", "1s")
        .asking("retain", json!({ "releases": 1 }))
}

/// Every crash point of what `order` asks for; `check` judges each end.
async fn killed_at_each(
    registry: Registry,
    what: &str,
    order: impl Fn(&World, usize) -> Request,
    check: impl Fn(&Ended, &Picture, &Picture) -> Result<(), String>,
) {
    let Some(mut world) = World::new(registry, Proxy::Both).await else { return };
    world.deploy(&quick(&world, "1.0")).await.committed();
    world.deploy(&quick(&world, "2.0")).await.committed();
    let traffic = Traffic::start(&world, "books-ms");
    let mut tried = 0;
    for point in 1..MANY {
        let before = world.settled().await;
        let order = order(&world, point);
        if !killed_once(&mut world, point, order).await {
            break;
        }
        tried += 1;
        let begun = Instant::now();
        world.daemon = Daemon::start(&world.home, &[]).await;
        let id = newest(&world).await;
        let ended = world.end_of(id).await;
        eprintln!("{what}, append {point}: ended {:?} after the start", begun.elapsed());
        let after = world.settled().await;
        let judged = match check(&ended, &before, &after) {
            Ok(()) => world.becomes_whole().await,
            wrong => wrong,
        };
        judged.unwrap_or_else(|why| panic!("{what}, append {point}: {why}\n{}", ended.story()));
    }
    assert!(tried >= 8, "{what}: only {tried} crash points");
    traffic.end(&format!("{what}: {tried} crash points")).await;
}

/// Starts the daemon so that it ends right after its `point`th append (from 1 on), and asks. False: the
/// deployment ended before that.
async fn killed_once(world: &mut World, point: usize, order: Request) -> bool {
    world.daemon.kill();
    let failpoint = format!("after-append={}*off->return", point - 1);
    world.daemon = Daemon::start(&world.home, &[("FAILPOINTS", &failpoint)]).await;
    let submitted = world.client().submit(&order).await;
    let begun = Instant::now();
    while world.daemon.runs() {
        if let Ok(submitted) = &submitted
            && let Ok(view) = world.client().deployment(submitted.deployment).await
            && view.outcome.is_some()
            && world.daemon.runs()
        {
            // The last append may be the one.
            tokio::time::sleep(Duration::from_millis(100)).await;
            return !world.daemon.runs();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "neither killed nor ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}

async fn newest(world: &World) -> DeploymentId {
    let all = world.client().deployments(Some(&"books-ms".parse().unwrap()), 1).await.unwrap();
    all[0].id
}

fn committed(ended: &Ended, _: &Picture, after: &Picture) -> Result<(), String> {
    if ended.outcome() != &Outcome::Committed {
        return Err("not committed".to_owned());
    }
    let colour = ended.view.colour.unwrap().to_string();
    let live = |text: &str| text.contains(&format!("\"{colour}\"")) || text.contains(&colour);
    let told = after
        .part("key verdigris/services/books-ms/colour")
        .or(after.part("row services books-ms").and_then(|row| row.lines().next()));
    if !told.is_some_and(live) {
        return Err(format!("{colour} was committed, {told:?} is on record"));
    }
    Ok(())
}

fn reverted(ended: &Ended, before: &Picture, after: &Picture) -> Result<(), String> {
    if !matches!(ended.outcome(), Outcome::Reverted { .. }) {
        return Err("not reverted".to_owned());
    }
    // The colour that was kept running ran the broken release for a while: its containers are others.
    let difference = before.without_containers().compare(&after.without_containers());
    if difference.is_empty() { Ok(()) } else { Err(difference) }
}

fn next_release(world: &World, point: usize) -> Request {
    request(
        &quick(world, if point % 4 < 2 { "3.0" } else { "1.0" }).set("POINT", &point.to_string()),
    )
}

fn broken_release(world: &World, point: usize) -> Request {
    let gate = json!({ "http": { "path": "/api/v1/books", "body": "no such words" } });
    let stack = quick(world, "3.0").set("POINT", &point.to_string());
    request(&stack.gate("post_integration", &[gate]))
}

#[tokio::test(flavor = "multi_thread")]
async fn committing_with_consul() {
    let what = "committing, Consul";
    killed_at_each(Registry::Consul, what, next_release, committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn committing_with_the_embedded_registry() {
    let what = "committing, embedded";
    killed_at_each(Registry::Embedded, what, next_release, committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reverting_with_consul() {
    let what = "reverting, Consul";
    killed_at_each(Registry::Consul, what, broken_release, reverted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reverting_with_the_embedded_registry() {
    let what = "reverting, embedded";
    killed_at_each(Registry::Embedded, what, broken_release, reverted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_back_with_consul() {
    let back = |_: &World, _| rollback("books-ms");
    killed_at_each(Registry::Consul, "rolling back, Consul", back, committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_back_with_the_embedded_registry() {
    let back = |_: &World, _| rollback("books-ms");
    killed_at_each(Registry::Embedded, "rolling back, embedded", back, committed).await;
}
