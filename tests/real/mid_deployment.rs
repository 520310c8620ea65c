//! What stands around a deployment ends, moves or comes back in the middle of it.

use std::time::{Duration, Instant};

use serde_json::json;
use verdigris::api::Because;
use verdigris::model::{DeploymentId, Happening, Outcome, Step};

use crate::support::daemon::Daemon;
use crate::support::world::request;
use crate::support::{Picture, Proxy, Registry, Traffic, World};

fn because() -> Because {
    Because { by: "tester".to_owned(), why: String::new() }
}

/// A person lets a deployment go on, or not; it ends accordingly.
async fn answer(world: &World, id: DeploymentId, approved: bool) {
    if approved {
        world.approve(id).await;
        world.end_of(id).await.committed();
    } else {
        world.reject(id).await;
        assert_eq!(world.end_of(id).await.exit(), 32);
    }
}

/// A deployment of `edition` that waits for a person.
async fn held(world: &World, edition: &str) -> DeploymentId {
    let stack = world.books(edition).asking("approve", true);
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;
    id
}

/// Waits until as many instances are registered as containers run, `count` of a colour.
async fn until_replaced(world: &World, victim: &str, colour: &str, count: usize) {
    let begun = Instant::now();
    loop {
        let now = world.picture().await;
        let of = |start: &str, mark: &str| {
            now.parts(start).filter(|(name, text)| format!("{name} {text}").contains(mark)).count()
        };
        let running = of("running ", &format!("books-ms-{colour} "));
        let entries = of("catalog books-ms ", &format!("verdigris-books-ms-{colour}-"));
        let gone = now.part(victim).is_none();
        if gone && running == count && entries == count {
            return;
        }
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(40), "{running} run, {entries} are registered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_instance_is_replaced_in_mid_deployment_and_reverting_does_not_lose_it() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let traffic = Traffic::short(&world, "books-ms");
    for commits in [false, true] {
        let before = world.settled().await;
        let id = held(&world, "2.0").await;
        let (name, _) = before.parts("running books-ms-blue").next().unwrap();
        let victim = format!("running books-ms-blue{name}");
        world.bed.docker(&["kill", name.trim()]);
        until_replaced(&world, &victim, "blue", 2).await;
        answer(&world, id, commits).await;
        if !commits {
            until_replaced(&world, &victim, "blue", 2).await;
            let after = world.settled().await;
            let difference = before.without_containers().compare(&after.without_containers());
            assert_eq!(difference, "");
        }
        let colour = if commits { "green" } else { "blue" };
        for proxy in ["nginx", "haproxy"] {
            world.until_answered(proxy, colour).await;
        }
    }
    traffic.end("a live instance replaced in mid-deployment").await;
}

/// Kills a container of `colour`, and waits until Swarm has put another in its place.
pub async fn replaced(world: &World, colour: &str) {
    let running = async || -> Vec<String> {
        let start = format!("running books-ms-{colour} ");
        world.picture().await.parts(&start).map(|(name, _)| name.to_owned()).collect()
    };
    let begun = Instant::now();
    let mut victim = None;
    loop {
        let now = running().await;
        match &victim {
            None if now.len() == 2 => {
                world.bed.docker(&["kill", now[0].trim()]);
                victim = Some(now[0].clone());
            }
            Some(victim) if now.len() == 2 && !now.contains(victim) => return,
            _ => {}
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "not replaced: {now:?} run");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The daemon stands still while an instance of the new colour is replaced, so that it is so in the
/// middle of the step. A release whose instance ends while it is awaited, tested or watched need not pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_instance_is_replaced_in_the_middle_of_each_step() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    let traffic = Traffic::short(&world, "books-ms");
    let (mut live, mut idle) = ("blue", "green");
    for step in [
        Step::Await,
        Step::Register,
        Step::Stage,
        Step::PreIntegration,
        Step::Switch,
        Step::PostIntegration,
        Step::Bake,
        Step::Commit,
        Step::Drain,
        Step::Retire,
    ] {
        let before = world.settled().await;
        let stack = world
            .books("2.0")
            .set("STEP", step.as_str())
            .with("/deploy/restart_policy", json!({ "delay": "0s" }))
            .asking("drain", "2s");
        // A bake would not forgive what happened before it, either.
        let stack = match step {
            Step::Bake => stack.asking("bake", json!({ "for": "1s" })),
            _ => stack,
        };
        let id = world.submit(request(&stack)).await.unwrap().deployment;
        world.until_begun(id, step).await;
        world.daemon.pause();
        replaced(&world, idle).await;
        world.daemon.resume();
        let ended = world.end_of(id).await;
        let may_fail = step < Step::Switch || step == Step::Bake;
        match ended.outcome() {
            Outcome::Reverted { .. } if may_fail => {
                let difference = world.settles_as_but_for_containers(&before).await;
                difference.unwrap_or_else(|difference| panic!("{step}: {difference}"));
            }
            Outcome::Committed => std::mem::swap(&mut live, &mut idle),
            _ => panic!("{step}: {}", ended.story()),
        }
        world.becomes_whole().await.unwrap_or_else(|why| panic!("{step}: {why}"));
        for proxy in ["nginx", "haproxy"] {
            world.until_answered(proxy, live).await;
        }
    }
    traffic.end("a new instance replaced at each step").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_needs_no_registry_of_images() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Haproxy).await else { return };
    world.deploy(&world.books("2.0").asking("retain", json!({}))).await.committed();
    let before = world.settled().await;
    let traffic = Traffic::start(&world, "books-ms");
    let stack = world.books("3.0").asking("approve", true);
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;
    world.bed.testbed(&["registry", "kill"]);
    world.reject(id).await;
    assert_eq!(world.end_of(id).await.exit(), 32);
    let difference = world.settles_as_but_for_containers(&before).await;
    difference.unwrap_or_else(|difference| panic!("{difference}"));
    let two = |picture: &Picture, colour: &str| {
        picture.parts(&format!("running books-ms-{colour}")).count() == 2
    };
    let after = world.settled().await;
    assert!(two(&after, "blue") && two(&after, "green"), "both colours run again");
    traffic.end("no registry of images").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_stopped_parks_a_deployment_and_the_next_goes_on_with_it() {
    let Some(mut world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    let stack = world.books("2.0").asking("approve", true).asking("bake", json!({ "for": "3s" }));
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    for step in [Step::Approve, Step::Bake] {
        world.until_begun(id, step).await;
        let status = world.daemon.stop().await;
        assert!(status.success(), "{status}:\n{}", world.daemon.said());
        traffic.flow(Duration::from_secs(1)).await;
        world.daemon = Daemon::start(&world.home, &[]).await;
        if step == Step::Approve {
            world.approve(id).await;
        }
    }
    world.end_of(id).await.committed();
    traffic.end("stopped in mid-deployment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consul_is_cut_off_for_longer_than_sessions_live() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    for (edition, commits) in [("2.0", true), ("3.0", false)] {
        let before = world.settled().await;
        let id = held(&world, edition).await;
        let cut = ["exec", "hub", "iptables", "-I", "INPUT", "-p", "tcp", "--dport", "8500"];
        world.bed.testbed(&[&cut[..], &["-j", "DROP"]].concat());
        // Consul forgets a session at the latest after twice the 15 seconds that it lives.
        traffic.flow(Duration::from_secs(35)).await;
        let mend = ["exec", "hub", "iptables", "-D", "INPUT", "-p", "tcp", "--dport", "8500"];
        world.bed.testbed(&[&mend[..], &["-j", "DROP"]].concat());
        answer(&world, id, commits).await;
        if !commits {
            let difference = world.settles_as_but_for_containers(&before).await;
            difference.unwrap_or_else(|difference| panic!("{difference}"));
        }
    }
    traffic.end("Consul cut off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_that_is_stuck_says_so_and_ends_once_the_cause_is_gone() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let before = world.settled().await;
    let traffic = Traffic::start(&world, "books-ms");
    let id = held(&world, "2.0").await;
    world.bed.testbed(&["consul", "kill"]);
    world.reject(id).await;
    let events = world.follow(id, |event| matches!(event.what, Happening::Stuck { .. })).await;
    let Some(Happening::Stuck { problem }) = events.last().map(|event| &event.what) else {
        panic!("not stuck: {events:#?}");
    };
    assert!(problem.message.contains("Consul"), "{problem:#?}");
    let view = world.client().deployment(id).await.unwrap();
    assert!(matches!(view.outcome, Some(Outcome::Stuck { .. })), "{view:#?}");
    world.bed.testbed(&["consul", "start"]);
    world.client().retry(id, &because()).await.unwrap();
    assert_eq!(world.end_of(id).await.exit(), 32);
    let difference = world.settles_as(&before).await;
    difference.unwrap_or_else(|difference| panic!("{difference}"));
    world.deploy(&world.books("3.0")).await.committed();
    traffic.end("stuck").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_ends_in_mid_deployment_and_the_deployment_goes_on_with_it() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    let id = held(&world, "2.0").await;
    world.bed.testbed(&["engine", "1", "kill"]);
    world.bed.testbed(&["engine", "1", "start"]);
    // Swarm starts both colours anew, on other ports. Who approves when the old one is back does not
    // wait for the new one.
    for proxy in ["nginx", "haproxy"] {
        world.until_answered(proxy, "blue").await;
    }
    world.approve(id).await;
    world.end_of(id).await.committed();
    for proxy in ["nginx", "haproxy"] {
        world.until_answered(proxy, "green").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_instance_that_moves_before_the_switch_is_followed() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    let id = held(&world, "2.0").await;
    let before = world.settled().await;
    let (name, _) = before.parts("running books-ms-green").next().unwrap();
    world.bed.docker(&["kill", name.trim()]);
    world.approve(id).await;
    world.end_of(id).await.committed();
    until_replaced(&world, &format!("running books-ms-green{name}"), "green", 2).await;
    traffic.end("a new instance moved").await;
}
