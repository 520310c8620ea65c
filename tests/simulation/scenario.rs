//! One seed: a first release goes live undisturbed, then a second deployment meets whatever the seed
//! holds; at its end the world is exactly as before, or exactly as committed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use verdigris::deploy::engine::Engine;
use verdigris::deploy::ledger::Ledger;
use verdigris::discovery::Reconciler;
use verdigris::model::{
    Approval, Check, Colour, CommandCheck, DeploymentId, DeploymentView, Draft, Gate, Gates, Kind,
    OnBusy, OnDisconnect, Outcome, Phase, Policy, Publish, Request, Retain, Route, RouteRule,
    ServiceName, Standing, Workload,
};

use crate::world::{Part, Picture, Sim};

/// Longer than any deployment may take in virtual time, its faults and kills included.
const FOREVER: Duration = Duration::from_secs(4 * 3600);

pub fn run(seed: u64) {
    in_virtual_time(play(seed));
}

/// Run `story` to its end; only what it waits for takes time.
pub fn in_virtual_time(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let story = tokio::time::timeout(FOREVER, story);
        story.await.expect("the deployment reaches an end");
    });
}

pub fn service() -> ServiceName {
    "books-ms".parse().expect("a name")
}

pub fn gate(name: &str) -> Gate {
    let check = Check::Command(CommandCheck { argv: vec![name.to_owned()], env: [].into() });
    Gate { name: name.to_owned(), check, timeout: Duration::from_secs(30) }
}

pub fn draft(image: &str) -> Draft {
    let gates = Gates {
        pre_deployment: vec![gate("unit")],
        pre_integration: vec![gate("smoke"), gate("contract")],
        post_integration: vec![gate("public")],
    };
    let route =
        RouteRule { hosts: vec!["books.example.com".to_owned()], path: "/".to_owned(), tls: true };
    let policy = Policy {
        port: 8080,
        publish: Publish::Host,
        route: Some(route),
        gates,
        stable_for: Duration::from_secs(1),
        approve: None,
        bake: None,
        drain: Duration::from_secs(10),
        retain: Retain { releases: 0, scale: None, duration: None },
        deadline: Duration::from_secs(600),
    };
    let workload = Workload { replicas: 2, ..Workload::default() };
    Draft { service: service(), image: image.parse().expect("an image"), workload, policy }
}

pub fn request(draft: Draft) -> Request {
    Request {
        kind: Kind::Deploy { draft },
        sequence: None,
        on_busy: OnBusy::default(),
        on_disconnect: OnDisconnect::default(),
        deadline: None,
        force: false,
        by: "simulation".to_owned(),
    }
}

/// The daemon, with one life after another.
pub struct Daemon {
    pub sim: Sim,
    pub engine: Engine,
    pub reconciler: Arc<Reconciler>,
    shutdown: CancellationToken,
}

impl Daemon {
    pub async fn start(sim: &Sim) -> Self {
        let sim = sim.reborn();
        let world = sim.world();
        let ledger = Arc::new(Ledger::new(Arc::clone(&world.registry)));
        let shutdown = CancellationToken::new();
        let engine = Engine::new(world.clone(), Arc::clone(&ledger), shutdown.clone());
        engine.resume().await.expect("the journal can be read");
        let reconciler = Arc::new(Reconciler::new(world, ledger, engine.clone()));
        let (beside, until) = (Arc::clone(&reconciler), shutdown.clone());
        tokio::spawn(async move { beside.run(watch::channel(false).0, until).await });
        Self { sim, engine, reconciler, shutdown }
    }

    /// Go on, over as many lives as it takes, until the deployment has ended.
    pub async fn see_through(mut self, id: DeploymentId) -> (Self, DeploymentView) {
        loop {
            let ended = async {
                loop {
                    let view = self.engine.deployment(id).await.expect("it is on record");
                    if view.phase == Phase::Ended {
                        return view;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            let view = tokio::select! {
                view = ended => Some(view),
                () = self.sim.killed() => None,
            };
            match view {
                Some(view) => return (self, view),
                None => self = self.again().await,
            }
        }
    }

    /// End it in good order, and start it anew.
    pub async fn restart(self) -> Self {
        self.shutdown.cancel();
        self.engine.parked().await;
        Self::start(&self.sim).await
    }

    async fn again(self) -> Self {
        self.shutdown.cancel();
        Self::start(&self.sim).await
    }

    /// Let everything settle: nothing fails any more, and there is time to look twice.
    async fn settle(self) -> Self {
        {
            let mut truth = self.sim.truth();
            truth.faults_left = 0;
            truth.kills.clear();
            truth.away.clear();
            truth.empty.clear();
        }
        let alive = self.sim.truth().life == self.sim.life();
        let daemon = if alive { self } else { self.again().await };
        tokio::time::sleep(Duration::from_secs(30)).await;
        daemon
    }
}

/// What the seed does to the second deployment; answers whether it is aborted.
fn disturb(sim: &Sim, draft: &mut Draft) -> bool {
    let mut truth = sim.truth();
    let acts = truth.acts;
    for _ in 0..truth.rng.u32(0..4) {
        let at = acts + truth.rng.u64(1..180);
        truth.kills.push(at);
    }
    if truth.rng.bool() {
        truth.faults_left = truth.rng.u32(1..25);
        truth.fault_rate = truth.rng.u32(1..40);
    }
    match truth.rng.u32(0..12) {
        0 => draft.image = "good/exits:2".parse().expect("an image"),
        1 => draft.image = "good/rejected:2".parse().expect("an image"),
        2 => draft.policy.gates.pre_deployment.push(gate("fail")),
        3 => draft.policy.gates.pre_integration.push(gate("fail")),
        4 => draft.policy.gates.post_integration.push(gate("fail")),
        5 => draft.policy.gates.pre_integration.push(gate("hang")),
        6 => truth.refuse_stage = true,
        7 => truth.refuse_flip = true,
        8 => {
            let expires = Duration::from_secs(20);
            draft.policy.approve = Some(Approval { expires });
        }
        9 => draft.policy.deadline = Duration::from_millis(truth.rng.u64(1..4000)),
        10 => draft.policy.retain = Retain { releases: 1, scale: Some(0), duration: None },
        _ => return true,
    }
    truth.rng.u32(0..4) == 0
}

async fn play(seed: u64) {
    let sim = Sim::new(seed);
    let daemon = Daemon::start(&sim).await;
    let first = daemon.engine.submit(request(draft("good/books:1"))).await.expect("taken");
    let (daemon, view) = daemon.see_through(first.deployment).await;
    assert_eq!(view.outcome, Some(Outcome::Committed), "the first release goes live");
    let before = sim.truth().picture();

    let mut second = draft("good/books:22");
    let aborts = disturb(&sim, &mut second);
    let expected = second.clone();
    let submitted = tokio::select! {
        submitted = daemon.engine.submit(request(second)) => submitted.ok(),
        () = daemon.sim.killed() => None,
    };
    let taken = submitted.map(|submitted| submitted.deployment);
    // Killed before it could answer, it may have taken it all the same.
    let Some(id) = taken.or_else(|| opened_last(&sim, first.deployment)) else {
        return check_violations(&sim);
    };
    let meddling = tokio::spawn(meddle(sim.clone(), daemon.engine.clone(), id, aborts));
    let (daemon, view) = daemon.see_through(id).await;
    meddling.abort();
    daemon.settle().await;
    let after = sim.truth().picture();
    match view.outcome.expect("it has ended") {
        Outcome::Reverted { .. } => check_reverted(&sim, &before, &after),
        Outcome::Committed => check_committed(&sim, &before, &after, &expected),
        other => panic!("not an end to be expected: {other:?}"),
    }
    check_violations(&sim);
}

/// What happens beside the deployment: an abort, deaths of tasks.
async fn meddle(sim: Sim, engine: Engine, id: DeploymentId, aborts: bool) {
    let pause = |most| {
        let wait = sim.truth().rng.u64(1..most);
        tokio::time::sleep(Duration::from_millis(wait))
    };
    if aborts {
        pause(5000).await;
        // It may have ended, or its daemon may be dead.
        let _ = engine.abort(id, "simulation", "").await;
    }
    let whim = sim.truth().rng.u32(0..12);
    pause(3000).await;
    match whim {
        0 | 1 => {
            let part = if whim == 0 { Part::Registry } else { Part::Swarm };
            let mut truth = sim.truth();
            let until = Instant::now() + Duration::from_millis(truth.rng.u64(1..25_000));
            truth.away.insert(part, until);
        }
        2 | 3 => {
            let day = 24 * 3600;
            sim.truth().skew += if whim == 2 { day } else { -day };
        }
        4 | 5 => drop(engine.approve(id, "simulation").await),
        6 => drop(engine.retry(id, "simulation").await),
        7 | 8 => {
            let part = if whim == 7 { Part::Registry } else { Part::Swarm };
            let mut truth = sim.truth();
            let until = Instant::now() + Duration::from_millis(truth.rng.u64(1..25_000));
            truth.empty.insert(part, until);
        }
        9 => sim.truth().registry.clear(),
        _ => {}
    }
    let deaths = sim.truth().rng.u32(0..6).saturating_sub(3);
    for _ in 0..deaths {
        pause(4000).await;
        sim.let_one_die();
    }
}

fn opened_last(sim: &Sim, first: DeploymentId) -> Option<DeploymentId> {
    sim.with_journal(|journal| journal.keys().copied().find(|id| *id != first))
}

pub fn check_violations(sim: &Sim) {
    let truth = sim.truth();
    assert!(truth.violations.is_empty(), "{:#?}", truth.violations);
}

/// Exactly as before; where tasks died, the live colour's instances are the ones that serve now.
fn check_reverted(sim: &Sim, before: &Picture, after: &Picture) {
    let live = before.registry[&service()].colour.expect("a live colour");
    if sim.truth().deaths == 0 {
        return assert_eq!(before, after, "a revert is exact");
    }
    let (before, now) = (without_instances(before, live), without_instances(after, live));
    assert_eq!(before, now, "a revert is exact but for tasks that died");
    check_serving(sim, after, live);
}

fn without_instances(picture: &Picture, colour: Colour) -> Picture {
    let mut picture = picture.clone();
    for record in picture.registry.values_mut() {
        record.instances.retain(|_, entry| entry.colour != colour);
    }
    for view in picture.proxies.values_mut().flat_map(|views| views.values_mut()) {
        view.backends.remove(&colour);
    }
    picture
}

/// Registry and proxies know exactly the tasks of `live` that serve.
pub fn check_serving(sim: &Sim, after: &Picture, live: Colour) {
    let serving = sim.truth().serving(&service().swarm_name(live));
    let record = &after.registry[&service()];
    let recorded: BTreeSet<String> =
        record.of(live).map(|entry| entry.instance.task.clone()).collect();
    assert_eq!(recorded, serving, "the registry knows what serves");
    for (proxy, views) in &after.proxies {
        let led: BTreeSet<String> =
            views[&service()].of(live).iter().map(|backend| backend.task.clone()).collect();
        assert_eq!(led, serving, "{proxy} leads to what serves");
    }
}

fn check_committed(sim: &Sim, before: &Picture, after: &Picture, draft: &Draft) {
    let old = before.registry[&service()].colour.expect("a live colour");
    let record = &after.registry[&service()];
    assert_eq!(record.colour, Some(old.other()));
    assert!(record.instances.values().all(|entry| entry.colour == old.other()));
    assert!(record.instances.values().all(|entry| entry.standing == Standing::Live));
    assert_eq!(record.instances.len(), draft.workload.replicas as usize);
    for views in after.proxies.values() {
        assert_eq!(views[&service()].live, Some(old.other()));
        assert!(views[&service()].of(old).is_empty());
    }
    let kept = draft.policy.retain.releases > 0;
    assert_eq!(after.swarm.contains_key(&service().swarm_name(old)), kept);
    assert_eq!(after.containers, 0);
    assert_eq!(record.route.as_ref().and_then(Route::live), Some(old.other()));
    check_serving(sim, after, old.other());
}
