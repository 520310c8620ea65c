//! One seed: as many releases as its scene has go live undisturbed, then the next deployment or a rollback
//! meets whatever the seed holds, others beside it included; at its end the world is exactly as before,
//! or exactly as committed.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;
use verdigris::deploy::engine::Engine;
use verdigris::deploy::record::Prepared;
use verdigris::deploy::saga::State;
use verdigris::model::{
    Approval, DeploymentId, Draft, Kind, OnBusy, Outcome, Request, Retain, ServiceName,
};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, neighbour, request, service};
use crate::ends::{check_committed, check_reverted, check_violations};
use crate::world::{
    Answer, Daemon as By, Election, Fault, Losses, Part, Picture, Sim, Stubborn, Truth,
};

/// What came of a seed.
#[derive(Debug, Default)]
pub struct Played {
    /// All acts, in their order.
    pub trace: Vec<(Duration, String)>,
    /// What went wrong in it.
    pub met: BTreeSet<Fault>,
}

/// Play `seed`.
pub fn run(seed: u64) -> Played {
    let mut played = Played::default();
    in_virtual_time(async {
        let sim = Sim::new(seed);
        play(&sim).await;
        let mut truth = sim.truth();
        let (trace, met) = (std::mem::take(&mut truth.trace), std::mem::take(&mut truth.met));
        played = Played { trace, met };
    });
    played
}

async fn play(sim: &Sim) {
    let scene = Scene::draw(&mut sim.truth());
    let daemon = scene.set(Daemon::start(sim).await).await;
    let before = sim.truth().picture();
    let [ours, theirs] = [service(), neighbour("good/other:1").service]
        .map(|service| sim.truth().committed.get(&service).map(|committed| committed.deployment));

    let mut second = draft("good/books:22");
    let aborts = disturb(&mut sim.truth(), &mut second);
    if sim.truth().rng.u32(0..16) == 0 {
        elect(sim);
    }
    let sequence = Some(10).filter(|_| sim.truth().rng.bool());
    let asked = Request { sequence, kind: scene.asks(second), ..request(draft("good/books:22")) };
    let submitted = tokio::select! {
        biased;
        submitted = daemon.engine.submit(asked) => submitted.ok(),
        () = daemon.sim.killed() => None,
    };
    let taken = submitted.map(|submitted| submitted.deployment);
    // Killed before it could answer, it may have taken it all the same.
    let Some(id) = taken.or_else(|| sim.truth().deployments(By::Ours).pop_last()) else {
        return check_violations(sim);
    };
    let beside = [
        tokio::spawn(meddle(daemon.sim.clone(), daemon.engine.clone(), id, aborts)),
        tokio::spawn(compete(daemon.sim.clone(), daemon.engine.clone())),
        tokio::spawn(sicken(sim.clone())),
        tokio::spawn(end_in_good_order(sim.clone())),
        tokio::spawn(beside(scene.neighbour, daemon.sim.clone(), daemon.engine.clone())),
    ];
    let daemon = daemon.see_all_through().await;
    for task in beside {
        task.abort();
    }
    let daemon = daemon.settle().await.see_all_through().await;
    for (service, since) in [(service(), ours), (neighbour("good/other:1").service, theirs)] {
        check_end(sim, &service, since, &before);
    }
    check_violations(sim);
    drop(daemon);
}

/// What was committed since is live, or all is as `before`.
fn check_end(sim: &Sim, service: &ServiceName, since: Option<DeploymentId>, before: &Picture) {
    match last_committed(sim, service) {
        Some((by, prepared)) if Some(by) != since => check_committed(sim, &prepared),
        _ => check_reverted(sim, service, before),
    }
}

/// What was committed last of a service, and by which deployment.
fn last_committed(sim: &Sim, service: &ServiceName) -> Option<(DeploymentId, Prepared)> {
    let truth = sim.truth();
    let last = truth.committed.get(service)?.deployment;
    let state = State::replay(&truth.journals[&By::Ours][&last]).expect("it makes sense");
    Some((last, state.prepared()?.clone()))
}

/// What there is before anything goes wrong, and what is asked for then.
struct Scene {
    /// Releases that went live undisturbed, one after the other.
    releases: usize,
    /// How the first colour is kept when the second goes live.
    retain: Retain,
    rolls_back: bool,
    /// Another service beside it is deployed at the same time.
    neighbour: bool,
}

impl Scene {
    fn draw(truth: &mut Truth) -> Self {
        let (releases, rolls_back) = match truth.rng.u32(0..10) {
            0 => (0, false),
            1 => (2, false),
            2..=4 => (2, true),
            _ => (1, false),
        };
        let kept = |releases, scale| Retain { releases, scale, duration: None };
        let ways = [kept(0, None), kept(1, None), kept(1, Some(0))];
        let retain = truth.rng.choice(ways).expect("three");
        Self { releases, retain, rolls_back, neighbour: truth.rng.u32(0..6) == 0 }
    }

    async fn set(&self, daemon: Daemon) -> Daemon {
        let mut drafts = vec![draft("good/books:1"), draft("good/books:55555")];
        drafts.truncate(self.releases);
        drafts.iter_mut().for_each(|draft| draft.policy.retain = self.retain.clone());
        drafts.extend(self.neighbour.then(|| neighbour("good/other:1")));
        let mut daemon = daemon;
        for draft in drafts {
            let id = daemon.engine.submit(request(draft)).await.expect("taken").deployment;
            let (through, view) = daemon.see_through(id).await;
            assert_eq!(view.outcome, Some(Outcome::Committed), "it goes live undisturbed");
            daemon = through;
        }
        daemon
    }

    fn asks(&self, draft: Draft) -> Kind {
        match self.rolls_back {
            true => Kind::Rollback { service: draft.service, release: None },
            false => Kind::Deploy { draft },
        }
    }
}

/// The neighbour, if there is one, gets its next release, or fails to.
async fn beside(neighbours: bool, sim: Sim, engine: Engine) {
    if !neighbours {
        return;
    }
    pause(&sim, 4000).await;
    let image = sim.truth().rng.choice(["good/other:22", "good/exits:4444"]).expect("two");
    tokio::select! {
        biased;
        _ = engine.submit(request(neighbour(image))) => {}
        () = sim.killed() => {}
    }
}

/// The daemon is ended in good order, and started anew, now and then.
async fn end_in_good_order(sim: Sim) {
    let ends = sim.truth().rng.u32(0..6).saturating_sub(3);
    for _ in 0..ends {
        pause(&sim, 5000).await;
        sim.asked_to_end.notify_one();
    }
}

/// What the seed does to the second deployment; answers whether it is aborted.
fn disturb(truth: &mut Truth, draft: &mut Draft) -> bool {
    let acts = truth.faults.acts;
    for _ in 0..truth.rng.u32(0..4) {
        let at = acts + truth.rng.u64(1..180);
        truth.faults.kills.push(at);
    }
    if truth.rng.bool() {
        truth.faults.left = truth.rng.u32(1..25);
        truth.faults.rate = truth.rng.u32(1..40);
    }
    if truth.rng.u32(0..4) == 0 {
        truth.halves = truth.rng.u32(1..6);
    }
    if truth.rng.u32(0..8) == 0 {
        let slow = Duration::from_millis(truth.rng.u64(1..400));
        truth.faults.slow.insert("append", slow);
    }
    if truth.rng.u32(0..8) == 0 {
        draft.policy.retain = Retain { releases: 1, scale: None, duration: None };
    }
    match truth.rng.u32(0..18) {
        0 => draft.image = "good/exits:2".parse().expect("an image"),
        1 => draft.image = "good/rejected:2".parse().expect("an image"),
        2 => draft.policy.gates.pre_deployment.push(gate("fail")),
        3 => draft.policy.gates.pre_integration.push(gate("fail")),
        4 => draft.policy.gates.post_integration.push(gate("fail")),
        5 => draft.policy.gates.pre_integration.push(gate("hang")),
        6 | 7 => grow_stubborn(truth),
        8 => {
            let expires = Duration::from_secs(20);
            draft.policy.approve = Some(Approval { expires });
        }
        9 => draft.policy.deadline = Duration::from_millis(truth.rng.u64(1..4000)),
        10 => draft.policy.retain = Retain { releases: 1, scale: Some(0), duration: None },
        11 => draft.image = "good/sick:2".parse().expect("an image"),
        12 => {
            draft.policy.gates.pre_integration.push(gate("late"));
            draft.policy.gates.post_integration.push(gate("late"));
            return true;
        }
        13 => {
            draft.policy.gates.post_integration.push(gate("late"));
            draft.policy.gates.post_integration.push(gate("fail"));
        }
        14 | 15 => truth.losses = Losses { forgotten: truth.rng.u32(1..4), ..Losses::default() },
        16 => truth.losses = Losses { denied: truth.rng.u32(1..4), ..Losses::default() },
        _ => return true,
    }
    truth.rng.u32(0..4) == 0
}

/// One proxy, or each, refuses something: for ever, or for a while where it would never end otherwise.
fn grow_stubborn(truth: &mut Truth) {
    let proxy = truth.rng.choice([None, Some("edge-haproxy"), Some("edge-nginx")]).expect("three");
    let answer = truth.rng.choice([Answer::Refused, Answer::Denied, Answer::Half]).expect("three");
    let what = truth.rng.choice(["stage", "restage", "flip"]).expect("three");
    truth.stubborn.push(Stubborn { what, proxy, answer, until: None });
    if truth.rng.bool() {
        let until = Some(Instant::now() + Duration::from_millis(truth.rng.u64(1..40_000)));
        let what = truth.rng.choice(["restore a proxy", "retire", "refresh"]).expect("three");
        truth.stubborn.push(Stubborn { what, proxy, answer, until });
    }
}

/// Wait for a while.
async fn pause(sim: &Sim, most: u64) {
    let wait = sim.truth().rng.u64(1..most);
    tokio::time::sleep(Duration::from_millis(wait)).await;
}

/// What happens beside the deployment: an abort, deaths of tasks, parts that are away.
async fn meddle(sim: Sim, engine: Engine, id: DeploymentId, aborts: bool) {
    if aborts {
        pause(&sim, 5000).await;
        // It may have ended, or its daemon may be dead.
        if engine.abort(id, "simulation", "").await.is_ok() {
            sim.note_abort(id);
        }
    }
    let whim = sim.truth().rng.u32(0..20);
    pause(&sim, 3000).await;
    match whim {
        0 | 1 => {
            let part = if whim == 0 { Part::Registry } else { Part::Swarm };
            let mut truth = sim.truth();
            let until = Instant::now() + Duration::from_millis(truth.rng.u64(1..25_000));
            truth.faults.away.insert(part, until);
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
            truth.faults.empty.insert(part, until);
        }
        9 => sim.truth().registry.clear(),
        10 | 11 => sim.restart_with_old_files(),
        12 => sim.restore_from_backup(),
        13..=15 => elect(&sim),
        _ => {}
    }
    let deaths = sim.truth().rng.u32(0..6).saturating_sub(3);
    for _ in 0..deaths {
        pause(&sim, 4000).await;
        sim.let_one_die();
    }
}

/// The registry has no leader for a while, and the new one may have forgotten sessions.
fn elect(sim: &Sim) {
    let (election, loses_session) = {
        let rng = &mut sim.truth().rng;
        let until = Instant::now() + Duration::from_millis(rng.u64(1..15_000));
        let [leaderless, behind] = [(), ()].map(|()| rng.u32(0..90));
        (Election { until, leaderless, behind }, rng.u32(0..3) == 0)
    };
    sim.elect(election);
    if loses_session {
        sim.lose_session();
    }
}

/// A release that passes its gates though it is bad: its instances die again and again.
async fn sicken(sim: Sim) {
    for _ in 0..6 {
        pause(&sim, 2500).await;
        sim.let_one_sicken();
    }
}

/// Others want the service at the same time.
async fn compete(sim: Sim, engine: Engine) {
    let rivals = sim.truth().rng.u32(0..6).saturating_sub(3);
    for _ in 0..rivals {
        pause(&sim, 4000).await;
        let rival = rivalling(&mut sim.truth());
        // It is taken or refused; or the daemon is killed over it.
        tokio::select! {
            biased;
            _ = engine.submit(rival) => {}
            () = sim.killed() => return,
        }
    }
}

fn rivalling(truth: &mut Truth) -> Request {
    let image = truth.rng.choice(["good/books:22", "good/books:333", "good/exits:4444"]);
    let on_busy = truth.rng.choice([OnBusy::Refuse, OnBusy::Wait, OnBusy::Supersede]);
    let sequence = truth.rng.choice([None, None, Some(9), Some(10), Some(11)]).expect("five");
    let on_busy = on_busy.expect("three");
    Request { on_busy, sequence, ..request(draft(image.expect("three"))) }
}
