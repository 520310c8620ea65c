//! A whole node is lost: its engine and all of its containers at once, as when it loses power.
//!
//! Nobody says goodbye: no connection to it is closed, and the Swarm tells its tasks as running until it
//! gives the node up.

use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use verdigris::api::Because;
use verdigris::model::{DeploymentId, Step};
use verdigris_load::Reason;

use crate::support::world::request;
use crate::support::{Picture, Proxy, Registry, Traffic, World};

/// Swarm gives a node up after three heartbeats of 5 s that it has missed.
const GIVEN_UP: Duration = Duration::from_secs(40);

/// Long enough for a sweep of everything, hints or not.
const SWEEP: Duration = Duration::from_secs(15);

/// How long the proxies keep a connection to an instance that nobody needs, with some time to be told.
const KEPT: Duration = Duration::from_secs(2);

/// Where the instances of `colour` on `node` answer, as the registry says.
fn addresses(picture: &Picture, colour: &str, node: &str) -> BTreeSet<String> {
    let entries = picture.parts("catalog books-ms ").map(|(_, entry)| entry);
    let entries = entries.map(|entry| serde_json::from_str::<Value>(entry).unwrap());
    let meant = entries.filter(|entry| {
        entry["ServiceMeta"]["colour"] == colour && entry["ServiceMeta"]["node"] == node
    });
    let address = |entry: Value| {
        format!("{}:{}", entry["ServiceAddress"].as_str().unwrap(), entry["ServicePort"])
    };
    meant.map(address).collect()
}

/// Whether a proxy's file leads to `address`.
fn led_to(picture: &Picture, address: &str) -> bool {
    let files = ["file nginx/nginx.conf", "file haproxy/haproxy.cfg"];
    files.iter().any(|file| picture.part(file).unwrap().contains(address))
}

/// Waits until the Swarm has given `node` up.
async fn given_up(world: &World, node: &str) {
    let begun = Instant::now();
    let status = ["node", "inspect", "--format", "{{.Status.State}}", node];
    while world.bed.docker(&status).trim() != "down" {
        assert!(begun.elapsed() < GIVEN_UP, "{node} is not given up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("{node} was given up after {:?}", begun.elapsed());
}

/// Waits until registry and proxies lead to two instances of `colour` on the first node, and to none at
/// `lost`.
async fn moved(world: &World, colour: &str, lost: &BTreeSet<String>) {
    let begun = Instant::now();
    loop {
        let now = world.picture().await;
        let here = addresses(&now, colour, "node1");
        let left: Vec<_> = lost.iter().filter(|address| led_to(&now, address)).collect();
        if here.len() == 2
            && here.iter().all(|address| led_to(&now, address))
            && left.is_empty()
            && addresses(&now, colour, "node2").is_empty()
        {
            eprintln!("moved after {:?}", begun.elapsed());
            return;
        }
        let waited = begun.elapsed();
        assert!(waited < SWEEP, "on the first node: {here:?}; still led to: {left:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until every proxy has had an answer from each container of `colour` that runs.
async fn all_answer(world: &World, colour: &str) {
    let now = world.picture().await;
    let start = format!("running books-ms-{colour} ");
    let running: Vec<&str> = now.parts(&start).map(|(id, _)| &id[..12]).collect();
    assert_eq!(running.len(), 2, "{running:?}");
    for proxy in world.proxy.names() {
        let begun = Instant::now();
        let mut silent = running.clone();
        while !silent.is_empty() {
            let answers = world.answers(proxy).await;
            silent.retain(|id| !answers.iter().any(|answer| answer.contains(id)));
            assert!(begun.elapsed() < SWEEP, "through {proxy} nothing comes from {silent:?}");
        }
    }
}

/// The first release is live, with one instance on each of two nodes; where the one on the second is.
async fn pair() -> Option<(World, BTreeSet<String>)> {
    let world = World::of_nodes(2, Registry::Consul, Proxy::Both).await?;
    world.deploy(&world.books("1.0")).await.committed();
    let lost = addresses(&world.at_rest().await, "blue", "node2");
    assert_eq!(lost.len(), 1, "one instance on each node");
    Some((world, lost))
}

fn lose(world: &World) {
    world.bed.testbed(&["engine", "2", "kill"]);
}

/// Nothing gets through to it any more, and nothing that it says.
fn cut_off(world: &World) {
    world.bed.testbed(&["exec", "node2", "ip", "link", "set", "eth0", "down"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_on_it_is_led_to_elsewhere_and_nothing_is_lost_meanwhile() {
    let Some((world, lost)) = pair().await else { return };
    let traffic = Traffic::short(&world, "books-ms");
    traffic.flow(Duration::from_secs(1)).await;
    lose(&world);
    given_up(&world, "node2").await;
    moved(&world, "blue", &lost).await;
    all_answer(&world, "blue").await;
    traffic.end("a lost node").await;
}

/// What was under way on it, or was sent on a connection that was kept to it, hears nothing more.
/// Everything else is hidden: a connection that is not answered within a second is made elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_says_no_goodbye_takes_no_more_than_what_it_was_asked_already() {
    let Some((world, lost)) = pair().await else { return };
    let traffic = Traffic::short(&world, "books-ms");
    traffic.flow(Duration::from_secs(1)).await;
    cut_off(&world);
    let cut = SystemTime::now();
    lose(&world);
    given_up(&world, "node2").await;
    moved(&world, "blue", &lost).await;
    all_answer(&world, "blue").await;
    let report = traffic.count().await;
    eprintln!("lost with a node that was cut off: {report}");
    assert_eq!(report.losses.len() as u64, report.total.lost, "all are told one by one: {report}");
    for lost in &report.losses {
        assert_eq!(lost.loss.reason, Reason::Timeout, "{lost:#?}");
        let at = UNIX_EPOCH + Duration::from_micros(report.started_unix_us + lost.begun_us);
        assert!(at < cut + KEPT, "begun when nothing was kept any more: {lost:#?}");
    }
}

/// It is not the release's fault.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_bakes_meanwhile_is_committed() {
    // Until before the Swarm gives the node up, and until long after.
    for bake in ["2s", "25s"] {
        let Some((world, _)) = pair().await else { return };
        let traffic = Traffic::short(&world, "books-ms");
        let (id, lost) = baking(&world, bake).await;
        lose(&world);
        world.end_of(id).await.committed();
        given_up(&world, "node2").await;
        moved(&world, "green", &lost).await;
        world.becomes_whole().await.unwrap();
        all_answer(&world, "green").await;
        traffic.end(&format!("a node lost in a bake of {bake}")).await;
    }
}

/// What can run nowhere else is not left to the public, and not committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_bakes_on_it_alone_is_reverted() {
    let Some((world, lost)) = pair().await else { return };
    let before = world.at_rest().await;
    let stack = world.books("2.0").asking("bake", json!({ "for": "20s" }));
    let stack = stack.with("/deploy/placement/constraints", json!(["node.hostname == node2"]));
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Bake).await;
    lose(&world);
    let ended = world.end_of(id).await;
    assert_eq!(ended.exit(), 12, "{}", ended.story());
    assert!(ended.told().contains("runs any more"), "{}", ended.told());
    assert!(ended.told().contains("on node `node2`"), "{}", ended.told());
    moved(&world, "blue", &lost).await;
    let difference = world.settles_as_but_for_containers(&before).await;
    difference.unwrap_or_else(|difference| panic!("{difference}"));
    all_answer(&world, "blue").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_taken_back_meanwhile_leaves_everything_as_it_was_elsewhere() {
    let Some((world, lost)) = pair().await else { return };
    let before = world.at_rest().await;
    let traffic = Traffic::short(&world, "books-ms");
    let (id, _) = baking(&world, "60s").await;
    lose(&world);
    let because = Because { by: "tester".to_owned(), why: "a node is lost".to_owned() };
    world.client().abort(id, &because).await.unwrap();
    let ended = world.end_of(id).await;
    assert_eq!(ended.exit(), 50, "{}", ended.story());
    given_up(&world, "node2").await;
    moved(&world, "blue", &lost).await;
    let difference = world.settles_as_but_for_containers(&before).await;
    difference.unwrap_or_else(|difference| panic!("{difference}"));
    all_answer(&world, "blue").await;
    traffic.end("a node lost, and the release taken back").await;
}

/// The second release, public for `time` until it commits; where its instance on the second node is.
async fn baking(world: &World, time: &str) -> (DeploymentId, BTreeSet<String>) {
    let stack = world.books("2.0").asking("bake", json!({ "for": time }));
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Bake).await;
    let there = addresses(&world.picture().await, "green", "node2");
    assert_eq!(there.len(), 1, "one instance on each node");
    (id, there)
}
