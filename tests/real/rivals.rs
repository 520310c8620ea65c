//! Two daemons, each with a state directory and a proxy of its own, share a Swarm and a Consul.

use std::time::Duration;

use serde_json::json;
use verdigris::deploy::control::RefusalKind;
use verdigris::model::{Colour, FailureKind, OnBusy, Outcome, Step};

use crate::support::world::request;
use crate::support::{Picture, Proxy, Registry, Traffic, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_slept_while_another_deployed_changes_nothing() {
    let Some(mut ours) = World::with_first(Registry::Consul, Proxy::Nginx).await else { return };
    let theirs = ours.second_daemon(Proxy::Haproxy).await;
    // What one deploys the other's proxy follows.
    ours.until_answered("haproxy", "blue").await;
    let traffic = Traffic::start(&ours, "books-ms");

    // A proxy whose daemon sleeps stays with the old colour, which therefore is kept running.
    let kept = |edition: &str| ours.books(edition).asking("retain", json!({ "releases": 1 }));
    let held = kept("2.0").asking("approve", true);
    let first = ours.submit(request(&held)).await.unwrap().deployment;
    ours.until_begun(first, Step::Approve).await;
    let mut next = request(&kept("3.0"));

    let ours_daemon = std::mem::replace(&mut ours.daemon, theirs);
    let theirs = ours;
    let refusal = theirs.submit(next.clone()).await.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::Busy, "{refusal:#?}");

    // Nothing is taken from a daemon that is there; one that sleeps loses it in time.
    next.on_busy = OnBusy::Wait;
    let second = theirs.submit(next).await.unwrap().deployment;
    ours_daemon.pause();
    let ended = theirs.end_of(second).await.committed();
    assert_eq!(ended.view.colour.map(|colour| colour.to_string()).as_deref(), Some("green"));
    theirs.until_answered("haproxy", "green").await;
    let before = theirs.settled().await;

    ours_daemon.resume();
    let mut ours = theirs;
    let theirs = std::mem::replace(&mut ours.daemon, ours_daemon);
    ours.approve(first).await;
    let ended = ours.end_of(first).await;
    let Outcome::Reverted { failure } = ended.outcome() else { panic!("{}", ended.story()) };
    assert_eq!(failure.kind, FailureKind::Superseded, "{}", ended.story());
    ours.until_answered("nginx", "green").await;
    let outside = |picture: Picture| picture.without("file ").without("key verdigris/locks/");
    let difference = outside(before).compare(&outside(ours.settled().await));
    assert_eq!(difference, "", "{}", ours.daemon.said());
    traffic.end("two daemons").await;
    drop(theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_wakes_to_a_request_leaves_alone_what_another_has_committed() {
    let Some(mut world) = World::with_first(Registry::Consul, Proxy::Nginx).await else { return };
    let mut other = world.second_daemon(Proxy::Haproxy).await;
    world.until_answered("haproxy", "blue").await;
    let traffic = Traffic::through(&world, "haproxy", "books-ms");
    let kept = |world: &World, edition| {
        world.books(edition).asking("retain", json!({ "releases": 1 })).asking("drain", "1s")
    };
    world.daemon.pause();
    std::mem::swap(&mut world.daemon, &mut other);
    world.deploy(&kept(&world, "2.0")).await.committed();
    std::mem::swap(&mut world.daemon, &mut other);

    // It is asked before it has looked at anything: the request is there when it wakes.
    let (client, order) = (world.client(), request(&kept(&world, "3.0")));
    let asked = tokio::spawn(async move { client.submit(&order).await.unwrap().deployment });
    traffic.flow(Duration::from_millis(300)).await;
    world.daemon.resume();
    let ended = world.end_of(asked.await.unwrap()).await.committed();
    let colours = (ended.view.previous, ended.view.colour);
    assert_eq!(colours, (Some(Colour::Green), Some(Colour::Blue)), "{}", ended.story());
    for proxy in ["nginx", "haproxy"] {
        world.until_answered(proxy, "blue").await;
    }
    traffic.end("asked while it slept").await;
}
