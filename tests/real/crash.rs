//! The daemon is killed right after each journal record of a deployment, and started again: the end is
//! reached unattended, exactly, with nothing lost meanwhile.
//!
//! Which registry a crash point is tried with alternates; `VERDIGRIS_REAL_ALL=1` tries every one with
//! both.
#![cfg(feature = "failpoints")]

use std::time::{Duration, Instant};

use serde_json::json;
use verdigris::model::{DeploymentId, Outcome, Request};

use crate::support::daemon::Daemon;
use crate::support::world::{Ended, request, rollback};
use crate::support::{Picture, Proxy, Registry, Stack, Traffic, World};

/// No deployment has more records; a bound for the loop.
const MANY: usize = 60;

/// A stack that goes through quickly, keeping the old colour running.
fn quick(world: &World, edition: &str) -> Stack {
    world
        .books(edition)
        .asking("stable_for", "100ms")
        .asking("drain", "1s")
        .asking("retain", json!({ "releases": 1 }))
}

/// Every `stride`th crash point from `first` on of what `order` asks for; `check` judges each end.
async fn killed_at_each(
    registry: Registry,
    what: &str,
    (first, stride): (usize, usize),
    order: impl Fn(&World, usize) -> Request,
    check: impl Fn(&Ended, &Picture, &Picture) -> Result<(), String>,
) {
    let Some(mut world) = World::new(registry, Proxy::Both).await else { return };
    world.deploy(&quick(&world, "1.0")).await.committed();
    world.deploy(&quick(&world, "2.0")).await.committed();
    let traffic = Traffic::start(&world, "books-ms");
    let mut tried = 0;
    for point in (first..MANY).step_by(stride) {
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
        eprintln!("{what}, record {point}: ended {:?} after the start", begun.elapsed());
        let after = world.settled().await;
        let judged = match check(&ended, &before, &after) {
            Ok(()) => becomes_whole(&world).await,
            wrong => wrong,
        };
        judged.unwrap_or_else(|why| panic!("{what}, record {point}: {why}\n{}", ended.story()));
    }
    assert!(tried >= 8 / stride, "{what}: only {tried} crash points");
    traffic.end(&format!("{what}: {tried} crash points")).await;
}

/// Starts the daemon so that it ends right after its `point`th record (from 1 on), and asks. False: the
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
            // The last record may be the one.
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

/// Waits until it is whole: an instance may be just being replaced.
async fn becomes_whole(world: &World) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match is_whole(&world.picture().await) {
            Err(_) if begun.elapsed() < Duration::from_secs(20) => {}
            whole => return whole,
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// No test container is left, and what is registered is what runs.
fn is_whole(picture: &Picture) -> Result<(), String> {
    let left: Vec<_> = picture.parts("test container ").collect();
    if !left.is_empty() {
        return Err(format!("test containers are left: {left:?}"));
    }
    let running = picture.parts("running ").count();
    let registered =
        picture.parts("catalog books-ms ").count() + picture.parts("row instances ").count();
    if running != registered {
        return Err(format!("{running} containers run, {registered} are registered"));
    }
    Ok(())
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

fn all() -> bool {
    std::env::var("VERDIGRIS_REAL_ALL").is_ok_and(|all| all == "1")
}

fn points(first: usize) -> (usize, usize) {
    if all() { (1, 1) } else { (first, 2) }
}

#[tokio::test(flavor = "multi_thread")]
async fn committing_with_consul() {
    let what = "committing, Consul";
    killed_at_each(Registry::Consul, what, points(1), next_release, committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn committing_with_the_embedded_registry() {
    let what = "committing, embedded";
    killed_at_each(Registry::Embedded, what, points(2), next_release, committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reverting_with_consul() {
    let what = "reverting, Consul";
    killed_at_each(Registry::Consul, what, points(2), broken_release, reverted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reverting_with_the_embedded_registry() {
    let what = "reverting, embedded";
    killed_at_each(Registry::Embedded, what, points(1), broken_release, reverted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_back_with_consul() {
    let back = |_: &World, _| rollback("books-ms");
    killed_at_each(Registry::Consul, "rolling back, Consul", points(1), back, committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_back_with_the_embedded_registry() {
    let back = |_: &World, _| rollback("books-ms");
    killed_at_each(Registry::Embedded, "rolling back, embedded", points(2), back, committed).await;
}
