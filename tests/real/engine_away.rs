//! The engine is away while its containers live on.
//!
//! Proxies lead to the containers without it, so nothing is lost for as long as it is away. A Swarm
//! allows no live restore: when the engine starts again its containers end, and requests are lost until
//! Swarm has made new ones. The engine hands out the same ports once more, in another order: for as long
//! as Swarm does not say which is whose, an instance of the other colour may answer at one of them.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use verdigris::model::Step;
use verdigris_load::{Reason, Report};

use crate::support::world::request;
use crate::support::{Proxy, Registry, Traffic, World};

/// From the start of the engine until everybody is served again: Swarm takes most of it.
const BACK: Duration = Duration::from_secs(30);

/// Until its new instance is healthy Swarm does not say where that is; then the proxies are told at once.
const STRANGE: Duration = Duration::from_secs(8);

/// The engine alone, without the containers that it has started.
struct Engine(Pid);

impl Engine {
    fn of(world: &World) -> Self {
        let pid = std::fs::read_to_string(world.bed.directory().join("node1/pid")).unwrap();
        Self(Pid::from_raw(pid.trim().parse().unwrap()).unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.0, signal).unwrap();
    }
}

/// From the first to the last answer of `colour`.
fn answered_by(report: &Report, colour: &str) -> Duration {
    let of_it = || report.seen.iter().filter(|seen| seen.colour == colour);
    let first = of_it().map(|seen| seen.first_answer_us).min().unwrap_or_default();
    let last = of_it().map(|seen| seen.last_answer_us).max().unwrap_or_default();
    Duration::from_micros(last - first)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_it_is_away_and_nothing_once_it_is_back() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let stack = world.books("2.0").asking("approve", true);
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;

    let traffic = Traffic::start(&world, "books-ms");
    let engine = Engine::of(&world);
    engine.signal(Signal::STOP);
    traffic.flow(Duration::from_secs(4)).await;
    engine.signal(Signal::CONT);
    traffic.flow(Duration::from_secs(1)).await;
    engine.signal(Signal::KILL);
    traffic.flow(Duration::from_secs(4)).await;
    let report = traffic.end("while the engine is away").await;
    assert_eq!(report.answers_of("blue"), report.total.answered(), "{report}");

    let traffic = Traffic::short(&world, "books-ms");
    let begun = Instant::now();
    world.bed.testbed(&["engine", "1", "start"]);
    for proxy in world.proxy.names() {
        world.until_answered(proxy, "blue").await;
    }
    let away = begun.elapsed();
    let report = traffic.count().await;
    eprintln!("lost while the engine starts, for {away:?}: {report}");
    assert!(away < BACK, "served again after {away:?}");
    assert!(report.total.lost > 0, "its containers end with its start, or so it was: {report}");
    // Nobody else answers in their place.
    for reason in [Reason::Wrong, Reason::Status4xx, Reason::Status5xx] {
        let such = report.kinds.values().filter_map(|kind| kind.reasons.get(&reason));
        assert_eq!(such.sum::<u64>(), 0, "{report}");
    }
    let strange = answered_by(&report, "green");
    eprintln!("the other colour answered for {strange:?}");
    assert!(strange < STRANGE, "the other colour answered for {strange:?}: {:#?}", report.seen);

    world.becomes_whole().await.unwrap();
    let traffic = Traffic::start(&world, "books-ms");
    world.approve(id).await;
    world.end_of(id).await.committed();
    for proxy in world.proxy.names() {
        world.until_answered(proxy, "green").await;
    }
    traffic.end("once the engine is back").await;
}
