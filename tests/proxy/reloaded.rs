//! Processes that a reload replaced, and the clients that still have a connection to them: each is
//! promised one more answer. What such a process knows of the instances cannot be changed any more.

use std::time::Duration;

use rstest::rstest;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use verdigris::deploy::ports::Proxies;
use verdigris::model::Backend;
use verdigris::model::Colour::{Blue, Green};
use verdigris::proxy::{Fleet, Kind};

use crate::backend::Instance;
use crate::client::{Answer, Kept};
use crate::world::{HOST, World, body, deploy, name, reloads, view, within, world};

/// The next answer, which is the last one of the process that was replaced.
async fn last_answer(kept: &mut Kept) -> Answer {
    let answer = kept.ask("/").await.unwrap();
    assert_eq!(answer.header("connection"), Some("close"), "{}", answer.head);
    answer
}

async fn is_drained(fleet: &Fleet, colour: verdigris::model::Colour) -> bool {
    let books = name("books");
    let drained = fleet.drained(&books, colour);
    tokio::time::timeout(Duration::from_millis(300), drained).await.is_ok()
}

/// A connection that nginx has accepted, on which nothing was said yet.
async fn silent(world: &World) -> Kept {
    let silent = Kept::open(world.http(), HOST).await;
    // Connections are accepted in the order in which they were made.
    let mut next = Kept::open(world.http(), HOST).await;
    next.ask("/").await.unwrap();
    silent
}

/// The reload is for the very instances that the public moves to: the workers of before have none of
/// them, and the old colour stays until their clients have gone.
#[tokio::test(flavor = "multi_thread")]
async fn who_had_not_spoken_is_answered_by_the_colour_that_was() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let (blue, stale) = (Instance::start("blue").await, Instance::start("stale").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.stage(&view("books", HOST, Some(Blue)), Green, &[stale.backend()]).await.unwrap();
    fleet.retire(&name("books"), Green).await.unwrap();
    stale.kill().await;
    let mut silent = silent(&world).await;
    let green = Instance::start("green").await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    assert_eq!(body(&world).await, "green");
    assert!(!is_drained(&fleet, Blue).await, "a client may come to it yet");
    let answer = last_answer(&mut silent).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "blue"));
    within(5, fleet.drained(&name("books"), Blue)).await.unwrap();
}

/// The reload was for another service: the workers of before have the instances as well.
#[tokio::test(flavor = "multi_thread")]
async fn who_had_not_spoken_follows_to_instances_that_the_worker_has() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    let other = Instance::start("other").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.stage(&view("books", HOST, Some(Blue)), Green, &[green.backend()]).await.unwrap();
    let mut silent = silent(&world).await;
    deploy(&fleet, &view("another", "other.example.com", None), Blue, &[other.backend()]).await;
    fleet.flip(&name("books"), Green, 2).await.unwrap();
    within(5, fleet.drained(&name("books"), Blue)).await.unwrap();
    blue.kill().await;
    let answer = last_answer(&mut silent).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "green"));
}

/// A worker that is left with a request that lasts does not hold up the old colour for longer than a
/// silent client has.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stays_for_another_request_is_not_waited_for() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let (blue, other) = (Instance::start("blue").await, Instance::start("other").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("another", "other.example.com", None), Blue, &[other.backend()]).await;
    let mut lasting = TcpStream::connect(world.http()).await.unwrap();
    lasting.write_all(b"GET /held HTTP/1.1\r\nHost: other.example.com\r\n\r\n").await.unwrap();
    within(5, async {
        while other.active() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let green = Instance::start("green").await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    assert!(!is_drained(&fleet, Blue).await, "a client may come to it yet");
    within(15, fleet.drained(&name("books"), Blue)).await.unwrap();
    assert_eq!(other.active(), 1, "the other request lasts");
}

/// New instances come after the reload, which was for another service or for their number: the process
/// that was replaced has none of them, and the old colour stays until its clients have gone.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_answered_by_the_colour_that_was(#[values(1, 5)] instances: usize) {
    let world = world!(Kind::Haproxy);
    let fleet = world.fleet().await;
    let (blue, other) = (Instance::start("blue").await, Instance::start("other").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let mut kept = Kept::open(world.http(), HOST).await;
    assert_eq!(kept.ask("/").await.unwrap().body, "blue");
    let before = reloads(&fleet);
    if instances == 1 {
        deploy(&fleet, &view("another", "other.example.com", None), Blue, &[other.backend()]).await;
    }
    let mut greens = Vec::new();
    for index in 0..instances {
        greens.push(Instance::start(&format!("green-{index}")).await);
    }
    let backends: Vec<Backend> = greens.iter().map(Instance::backend).collect();
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &backends).await;
    assert_eq!(reloads(&fleet), before + 1);
    let mut fresh = Kept::open(world.http(), HOST).await;
    assert!(fresh.ask("/").await.unwrap().body.starts_with("green"));
    assert!(!is_drained(&fleet, Blue).await, "a client may come to it yet");
    let answer = last_answer(&mut kept).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "blue"));
    within(5, fleet.drained(&name("books"), Blue)).await.unwrap();
}

/// The instances were staged before the reload, so that the process that was replaced has them as well.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_follows_to_instances_that_its_process_has() {
    let world = world!(Kind::Haproxy);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    let other = Instance::start("other").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.stage(&view("books", HOST, Some(Blue)), Green, &[green.backend()]).await.unwrap();
    let mut kept = Kept::open(world.http(), HOST).await;
    assert_eq!(kept.ask("/").await.unwrap().body, "blue");
    deploy(&fleet, &view("another", "other.example.com", None), Blue, &[other.backend()]).await;
    fleet.flip(&name("books"), Green, 2).await.unwrap();
    within(5, fleet.drained(&name("books"), Blue)).await.unwrap();
    blue.kill().await;
    let answer = last_answer(&mut kept).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "green"));
}

/// What the process that was replaced has as the colour is what was there before.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_not_led_to_instances_of_before() {
    let world = world!(Kind::Haproxy);
    let fleet = world.fleet().await;
    let (blue, stale) = (Instance::start("blue").await, Instance::start("stale").await);
    let (green, other) = (Instance::start("green").await, Instance::start("other").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.stage(&view("books", HOST, Some(Blue)), Green, &[stale.backend()]).await.unwrap();
    let mut kept = Kept::open(world.http(), HOST).await;
    assert_eq!(kept.ask("/").await.unwrap().body, "blue");
    deploy(&fleet, &view("another", "other.example.com", None), Blue, &[other.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    stale.kill().await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    let answer = last_answer(&mut kept).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "blue"));
}
