//! Of two daemons one is stopped, wherever in its acts that finds it, for longer than its session in
//! Consul lives, while the other deploys the same services. When it wakes, what the other has committed
//! stands.
//!
//! Chance says when each deployment is stopped, and whether it would have reverted. `RIVALS_SEED=N`
//! replays what a run has printed, as far as a real machine does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use verdigris::client::Client;
use verdigris::model::{DeploymentId, DeploymentView, FailureKind, OnBusy, Outcome, Request, Step};

use crate::support::daemon::Daemon;
use crate::support::world::{Ended, request};
use crate::support::{Picture, Proxy, Registry, Stack, Traffic, World, curl};

/// Each is stopped at an instant of its own, though all are with the daemon.
const SERVICES: [&str; 3] = ["books-ms", "shop", "loans"];

/// About what a deployment takes here, up to its end.
const LONGEST: u64 = 5000;

/// A session surely lives for 15 seconds after it was renewed, and not surely for longer.
const LIVES: Duration = Duration::from_secs(16);

/// One deployment that is stopped.
struct Stopped {
    service: &'static str,
    /// How long it has had.
    after: Duration,
    /// It would have failed in public.
    fails: bool,
}

impl Stopped {
    /// All of them, the one that has the most time first.
    fn by_chance(random: &mut fastrand::Rng) -> Vec<Self> {
        let mut all: Vec<Self> = SERVICES
            .into_iter()
            .map(|service| Self {
                service,
                after: Duration::from_millis(random.u64(0..LONGEST)),
                fails: random.u8(0..3) == 0,
            })
            .collect();
        all.sort_by_key(|stopped| std::cmp::Reverse(stopped.after));
        all
    }
}

/// A release that goes through quickly. What was live before is kept running: a proxy whose daemon
/// sleeps stays with it.
fn stack(world: &World, service: &str, edition: &str, mark: &str) -> Stack {
    Stack::new(service, &world.bed.image(&format!("books-ms:{edition}")))
        .set("MARK", mark)
        .asking("stable_for", "100ms")
        .asking("drain", "1s")
        .asking("retain", json!({ "releases": 1 }))
}

async fn submitted(client: &Client, request: &Request) -> DeploymentId {
    client.submit(request).await.unwrap().deployment
}

/// The daemon of `world` begins all of `stopped`, and stops when each has had its time.
async fn stop_within(
    world: &World,
    stopped: &[Stopped],
    mark: &str,
) -> BTreeMap<&'static str, DeploymentId> {
    let bad = [json!({ "http": { "path": "/api/v1/books", "body": "no such words" } })];
    let (client, begun) = (world.client(), Instant::now());
    let longest = stopped[0].after;
    let mut ids = BTreeMap::new();
    for one in stopped {
        let stack = stack(world, one.service, "2.0", mark);
        let stack = if one.fails { stack.gate("post_integration", &bad) } else { stack };
        tokio::time::sleep(longest.saturating_sub(one.after + begun.elapsed())).await;
        ids.insert(one.service, submitted(&client, &request(&stack)).await);
    }
    tokio::time::sleep(longest.saturating_sub(begun.elapsed())).await;
    world.daemon.pause();
    ids
}

/// The sessions that Consul knows, with the names of their daemons.
async fn sessions(world: &World) -> BTreeMap<String, String> {
    let url = format!("{}/v1/session/list", world.bed.env("CONSUL_HTTP_ADDR"));
    let list = curl::json(&curl::client(None), &url).await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = list.as_array().unwrap().iter();
    all.map(|session| (text(&session["ID"]), text(&session["Name"]))).collect()
}

/// Consul forgets the sessions of `daemon` as soon as it may; left alone it takes up to twice as long.
async fn forget(world: &World, daemon: &str) {
    tokio::time::sleep(LIVES).await;
    for (session, name) in sessions(world).await {
        if name == daemon {
            let consul = world.bed.env("CONSUL_HTTP_ADDR");
            let url = format!("{consul}/v1/session/destroy/{session}");
            let done = curl::client(None).put(url).send().await.unwrap();
            assert_eq!(done.status(), 200);
        }
    }
}

/// The daemon of `world` deploys all services, however long it has to wait for them.
async fn deploy_all(world: &World, mark: &str) -> BTreeMap<&'static str, DeploymentView> {
    let all = SERVICES.map(async |service| {
        let stack = stack(world, service, "3.0", mark);
        let order = Request { on_busy: OnBusy::Wait, ..request(&stack) };
        let id = submitted(&world.client(), &order).await;
        (service, world.end_of(id).await.committed().view)
    });
    join_all(all).await.into_iter().collect()
}

fn ended(view: &DeploymentView, step: Step) -> Option<jiff::Timestamp> {
    view.steps.iter().find(|it| it.step == step).and_then(|it| it.ended)
}

/// Whether the one that was stopped has committed once the other had ended, as one that had not begun
/// may. It may not otherwise: it has committed before, was undone before, or is superseded.
fn came_after(stopped: &Ended, failing: bool, other: &DeploymentView, what: &str) -> bool {
    let over = other.ended.unwrap();
    if ended(&stopped.view, Step::Prepare).is_none_or(|prepared| prepared > over) {
        return stopped.outcome() == &Outcome::Committed;
    }
    match stopped.outcome() {
        Outcome::Committed => {
            let committed = ended(&stopped.view, Step::Commit).unwrap();
            assert!(committed < over, "{what}: committed late: {}", stopped.story());
        }
        Outcome::Reverted { failure } => {
            let undone = failing && failure.kind == FailureKind::PostGate;
            let superseded = failure.kind == FailureKind::Superseded;
            assert!(undone || superseded, "{what}: {}", stopped.story());
        }
        _ => panic!("{what}: {}", stopped.story()),
    }
    false
}

/// What is outside of both daemons, but for `services` and for who has which lease.
fn outside(picture: &Picture, but_for: &[&str]) -> Picture {
    picture.only(|name| {
        !name.starts_with("file ")
            && !name.starts_with("key verdigris/locks/")
            && !but_for.iter().any(|service| name.contains(service))
    })
}

/// `live` is live wherever one can look.
async fn is_live(world: &World, service: &str, live: &DeploymentView) {
    let colour = live.colour.unwrap().to_string();
    let release = live.release.as_ref().unwrap().to_string();
    let picture = world.picture().await;
    let key = format!("key verdigris/services/{service}/colour");
    assert_eq!(picture.part(&key), Some(&*colour), "{service}");
    let spec = picture.part(&format!("service {service}-{colour}")).unwrap();
    assert!(spec.contains(&release), "{service} runs as {release}: {spec}");
    let start = format!("catalog {service} ");
    let entries = picture.parts(&start).filter(|(_, entry)| entry.contains("\"live\""));
    let entries: Vec<&str> = entries.map(|(_, entry)| entry).collect();
    assert_eq!(entries.len(), 2, "{service}: {entries:?}");
    assert!(entries.iter().all(|entry| entry.contains(&release)), "{service}: {entries:?}");
    for proxy in ["nginx", "haproxy"] {
        world.until_led(service, proxy, &colour).await;
    }
}

/// Who is stopped, and on whose proxy the public is meanwhile.
struct Round<'a> {
    mark: &'a str,
    sleeper: &'a str,
    by: &'static str,
    chance: u64,
}

/// The daemon of `world` is stopped, `other` deploys.
async fn play(world: &mut World, other: &mut Daemon, round: Round<'_>) {
    let Round { mark, sleeper, by, chance } = round;
    let stopped = Stopped::by_chance(&mut fastrand::Rng::with_seed(chance));
    for Stopped { service, after, fails } in &stopped {
        eprintln!("{mark}: {service} is stopped after {after:?}, fails: {fails}");
    }
    let traffic: Vec<Traffic> =
        SERVICES.iter().map(|service| Traffic::through(world, by, service)).collect();
    let ids = stop_within(world, &stopped, mark).await;
    std::mem::swap(&mut world.daemon, other);
    let (theirs, ()) = tokio::join!(deploy_all(world, mark), forget(world, sleeper));
    let before = world.settled().await;

    other.resume();
    std::mem::swap(&mut world.daemon, other);
    let mut after = Vec::new();
    let mut live = theirs.clone();
    for Stopped { service, fails, .. } in stopped {
        let what = format!("{mark}, {service}");
        let ended = world.end_of(ids[service]).await;
        eprintln!("{what}: {:?}", ended.outcome());
        if came_after(&ended, fails, &theirs[service], &what) {
            after.push(service);
            live.insert(service, ended.view);
        }
    }
    // It takes the reconciler of the one that wakes a while to look at everything.
    for (service, live) in &live {
        is_live(world, service, live).await;
    }
    let settled = world.settled().await;
    let difference = outside(&before, &after).compare(&outside(&settled, &after));
    assert_eq!(difference, "", "{mark}: {}", world.daemon.said());
    for (service, traffic) in SERVICES.iter().zip(traffic) {
        traffic.end(&format!("{mark}: {service} by {by}")).await;
    }
}

fn seed() -> u64 {
    let given = std::env::var("RIVALS_SEED").ok().map(|seed| seed.parse().unwrap());
    given.unwrap_or_else(|| fastrand::u64(0..1_000_000))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_at_any_instant_undoes_nothing_of_the_other() {
    let Some(mut world) = World::new(Registry::Consul, Proxy::Nginx).await else { return };
    let seed = seed();
    eprintln!("RIVALS_SEED={seed}");
    let first = SERVICES.map(|service| stack(&world, service, "1.0", "first"));
    for ended in join_all(first.iter().map(|stack| world.deploy(stack))).await {
        ended.committed();
    }
    let first = sessions(&world).await.into_values().next().unwrap();
    let mut other = world.second_daemon(Proxy::Haproxy).await;
    for service in SERVICES {
        world.until_led(service, "haproxy", "blue").await;
    }
    let round = Round { mark: "round 1", sleeper: &first, by: "haproxy", chance: seed };
    play(&mut world, &mut other, round).await;
    let second = sessions(&world).await.into_values().find(|name| *name != first).unwrap();
    std::mem::swap(&mut world.daemon, &mut other);
    let round = Round { mark: "round 2", sleeper: &second, by: "nginx", chance: seed + 1 };
    play(&mut world, &mut other, round).await;
}
