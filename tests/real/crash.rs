//! The daemon is killed right after each append to the journal of a deployment, and started again: the
//! end is reached unattended, exactly, with nothing lost meanwhile.
#![cfg(feature = "failpoints")]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use verdigris::model::{Colour, DeploymentId, Outcome, Request};

use crate::support::daemon::Daemon;
use crate::support::world::{Ended, request, rollback};
use crate::support::{Expected, Picture, Proxy, Registry, Stack, Traffic, World};

/// No deployment appends more often; a bound for the loop.
const MANY: usize = 60;

/// What a policy keeps of the old colour, by its replicas.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Running,
    Scaled,
    Nothing,
}

impl Kept {
    /// All of them in turn.
    fn by_turns(point: usize) -> Self {
        [Self::Running, Self::Scaled, Self::Nothing][point % 3]
    }

    fn policy(self) -> Value {
        match self {
            Self::Running => json!({ "releases": 1 }),
            Self::Scaled => json!({ "scale": 0 }),
            Self::Nothing => json!({ "releases": 0 }),
        }
    }

    fn replicas(self) -> Option<u64> {
        match self {
            Self::Running => Some(2),
            Self::Scaled => Some(0),
            Self::Nothing => None,
        }
    }
}

/// One release: its edition, and what it keeps of the one before.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    edition: &'static str,
    kept: Kept,
}

impl Wanted {
    /// A stack that goes through quickly: a health check would make each deployment wait a second for it.
    fn stack(self, world: &World) -> Stack {
        world
            .books(self.edition)
            .with("/healthcheck", json!({ "disable": true }))
            .asking("stable_for", "100ms")
            .asking("drain", "1s")
            .asking("retain", self.kept.policy())
    }

    /// The same as the `point`th of its kind: another release.
    fn numbered(self, world: &World, point: usize) -> Stack {
        self.stack(world).set("POINT", &point.to_string())
    }
}

/// A release that ran.
#[derive(Debug, Clone)]
struct Ran {
    wanted: Wanted,
    release: String,
    colour: Colour,
}

impl Ran {
    fn of(ended: &Ended, wanted: Wanted) -> Self {
        let release = ended.view.release.as_ref().unwrap().to_string();
        Self { wanted, release, colour: ended.view.colour.unwrap() }
    }
}

/// What is tried at each crash point.
struct Trial {
    what: String,
    world: World,
    /// The release that is live, and the one before it.
    live: Ran,
    last: Ran,
}

impl Trial {
    /// Two releases ran, the second is live.
    async fn new(what: &str, registry: Registry, first: Kept, second: Kept) -> Option<Self> {
        let world = World::new(registry, Proxy::Both).await?;
        let ran = async |wanted: Wanted| {
            Ran::of(&world.deploy(&wanted.stack(&world)).await.committed(), wanted)
        };
        let last = ran(Wanted { edition: "1.0", kept: first }).await;
        let live = ran(Wanted { edition: "2.0", kept: second }).await;
        Some(Self { what: format!("{what}, {}", registry.word()), world, live, last })
    }

    /// Asks with the daemon killed after the `point`th append, and started again: the end of what was
    /// asked, and whether it was killed.
    async fn killed_at(&mut self, point: usize, order: Request) -> (Ended, bool) {
        let (ended, killed) = killed_at(&mut self.world, point, order).await;
        eprintln!("{}, append {point}: killed {killed}, {:?}", self.what, ended.view.outcome);
        (ended, killed)
    }

    /// `ran` is live wherever one can look, and its predecessor is kept as it asks.
    async fn is_live(&mut self, ran: Ran) {
        let (colour, edition) = (ran.colour, ran.wanted.edition);
        assert_eq!(colour, self.live.colour.other(), "the colour that was idle");
        let kept = ran.wanted.kept.replicas();
        self.world.becomes_whole().await.unwrap();
        Expected::after(colour, edition, ran.release.clone(), kept).holds(&self.world).await;
        self.last = std::mem::replace(&mut self.live, ran);
    }
}

/// Where a deployment that goes another way ends before the point, the next may still reach it.
#[derive(Default)]
struct Tried {
    points: usize,
    missed: usize,
}

impl Tried {
    fn count(&mut self, killed: bool) {
        if killed {
            (self.points, self.missed) = (self.points + 1, 0);
        } else {
            self.missed += 1;
        }
    }

    fn is_over(&self) -> bool {
        self.missed >= 2
    }

    async fn end(self, what: &str, traffic: Traffic) {
        assert!(self.points >= 8, "{what}: only {} crash points", self.points);
        traffic.end(&format!("{what}: {} crash points", self.points)).await;
    }
}

/// Asks with the daemon killed after the `point`th append (from 1 on), and started again where it was.
async fn killed_at(world: &mut World, point: usize, order: Request) -> (Ended, bool) {
    world.daemon.kill();
    let failpoint = format!("after-append={}*off->return", point - 1);
    world.daemon = Daemon::start(&world.home, &[("FAILPOINTS", &failpoint)]).await;
    let killed = is_killed(world, order).await;
    if killed {
        let begun = Instant::now();
        world.daemon = Daemon::start(&world.home, &[]).await;
        let ended = world.end_of(newest(world).await).await;
        eprintln!("append {point}: ended {:?} after the start", begun.elapsed());
        return (ended, true);
    }
    (world.end_of(newest(world).await).await, false)
}

/// Asks, and waits until the daemon ends. False: the deployment ended before that.
async fn is_killed(world: &mut World, order: Request) -> bool {
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

/// Everything is as `before`, byte for byte, and nothing is left.
async fn is_as(world: &World, before: &Picture, ended: &Ended, what: &str) {
    assert!(matches!(ended.outcome(), Outcome::Reverted { .. }), "{what}: {}", ended.story());
    eprintln!("{what}: reverted, compared with before");
    world.settles_within(before, Duration::from_secs(15)).await;
    world.becomes_whole().await.unwrap_or_else(|why| panic!("{what}: {why}\n{}", ended.story()));
}

/// Commits a release at every crash point; what is kept of the old one goes by turns.
async fn committing(registry: Registry) {
    let trial = Trial::new("committing", registry, Kept::Running, Kept::Running).await;
    let Some(mut trial) = trial else { return };
    let traffic = Traffic::start(&trial.world, "books-ms");
    let mut tried = Tried::default();
    for point in 1..MANY {
        trial.world.at_rest().await;
        let edition = if point % 4 < 2 { "3.0" } else { "1.0" };
        let wanted = Wanted { edition, kept: Kept::by_turns(point) };
        let order = request(&wanted.numbered(&trial.world, point));
        let (ended, killed) = trial.killed_at(point, order).await;
        let ended = ended.committed();
        trial.is_live(Ran::of(&ended, wanted)).await;
        tried.count(killed);
        if tried.is_over() {
            break;
        }
    }
    tried.end(&trial.what, traffic).await;
}

/// Rolls back at every crash point, from and to a release each of which keeps the other as it asks.
async fn rolling_back(registry: Registry, first: Kept, second: Kept) {
    let trial = Trial::new("rolling back", registry, first, second).await;
    let Some(mut trial) = trial else { return };
    let traffic = Traffic::start(&trial.world, "books-ms");
    let mut tried = Tried::default();
    for point in 1..MANY {
        trial.world.at_rest().await;
        let (ended, killed) = trial.killed_at(point, rollback("books-ms")).await;
        let ended = ended.committed();
        let ran = Ran::of(&ended, trial.last.wanted);
        assert_eq!(ran.release, trial.last.release, "{}", ended.story());
        trial.is_live(ran).await;
        tried.count(killed);
        if tried.is_over() {
            break;
        }
    }
    tried.end(&trial.what, traffic).await;
}

/// A release that fails when it is public already.
fn broken(world: &World, point: usize) -> Request {
    let gate = json!({ "http": { "path": "/api/v1/books", "body": "no such words" } });
    let wanted = Wanted { edition: "3.0", kept: Kept::by_turns(point) };
    request(&wanted.numbered(world, point).gate("post_integration", &[gate]))
}

/// Reverts a release at every crash point. Of the idle colour no task runs before, so that none is a
/// new one after: everything must be the same, files and all.
async fn reverting(registry: Registry, kept: Kept) {
    let trial = Trial::new("reverting", registry, kept, kept).await;
    let Some(mut trial) = trial else { return };
    let traffic = Traffic::start(&trial.world, "books-ms");
    let mut tried = Tried::default();
    for point in 1..MANY {
        let before = trial.world.at_rest().await;
        let order = broken(&trial.world, point);
        let (ended, killed) = trial.killed_at(point, order).await;
        is_as(&trial.world, &before, &ended, &format!("{}, append {point}", trial.what)).await;
        tried.count(killed);
        if tried.is_over() {
            break;
        }
    }
    tried.end(&trial.what, traffic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn committing_with_consul() {
    committing(Registry::Consul).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn committing_with_the_embedded_registry() {
    committing(Registry::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reverting_with_consul() {
    reverting(Registry::Consul, Kept::Scaled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reverting_with_the_embedded_registry() {
    reverting(Registry::Embedded, Kept::Nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_back_with_consul() {
    rolling_back(Registry::Consul, Kept::Running, Kept::Scaled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rolling_back_with_the_embedded_registry() {
    rolling_back(Registry::Embedded, Kept::Running, Kept::Nothing).await;
}

/// Some of the crash points of a first release that is reverted: there was nothing, and there is
/// nothing. Then of one that commits.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_release() {
    let Some(mut world) = World::new(Registry::Embedded, Proxy::Both).await else { return };
    for point in (2..MANY).step_by(5) {
        let before = world.at_rest().await;
        let order = broken(&world, point);
        let (ended, killed) = killed_at(&mut world, point, order).await;
        is_as(&world, &before, &ended, &format!("a first release, append {point}")).await;
        if !killed {
            break;
        }
    }
    let wanted = Wanted { edition: "1.0", kept: Kept::Nothing };
    let order = request(&wanted.stack(&world));
    let (ended, killed) = killed_at(&mut world, 9, order).await;
    assert!(killed, "it appends more than eight times");
    let ran = Ran::of(&ended.committed(), wanted);
    world.becomes_whole().await.unwrap();
    Expected::after(ran.colour, "1.0", ran.release, None).holds(&world).await;
}
