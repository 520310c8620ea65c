//! Two daemons, each with a state directory and a proxy of its own, share a Swarm and a Consul.

use serde_json::json;
use verdigris::deploy::control::RefusalKind;
use verdigris::model::{FailureKind, OnBusy, Outcome, Step};

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
