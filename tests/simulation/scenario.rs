//! One seed: a first release goes live undisturbed, then a second deployment meets whatever the seed
//! holds, others beside it included; at its end the world is exactly as before, or exactly as committed.

use std::time::Duration;

use tokio::time::Instant;
use verdigris::deploy::engine::Engine;
use verdigris::deploy::record::Record;
use verdigris::model::{Approval, DeploymentId, Draft, Kind, OnBusy, Outcome, Request, Retain};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, request, service};
use crate::ends::{check_committed, check_reverted, check_violations};
use crate::world::{Answer, Daemon as By, Losses, Part, Sim, Stubborn, Truth};

/// Play `seed`; answers all acts, in their order.
pub fn run(seed: u64) -> Vec<(Duration, String)> {
    let mut trace = Vec::new();
    in_virtual_time(async {
        let sim = Sim::new(seed);
        play(&sim).await;
        trace = std::mem::take(&mut sim.truth().trace);
    });
    trace
}

async fn play(sim: &Sim) {
    let daemon = Daemon::start(sim).await;
    let first = daemon.engine.submit(request(draft("good/books:1"))).await.expect("taken");
    let (daemon, view) = daemon.see_through(first.deployment).await;
    assert_eq!(view.outcome, Some(Outcome::Committed), "the first release goes live");
    let before = sim.truth().picture();

    let mut second = draft("good/books:22");
    let aborts = disturb(&mut sim.truth(), &mut second);
    let sequence = Some(10).filter(|_| sim.truth().rng.bool());
    let submitted = tokio::select! {
        biased;
        submitted = daemon.engine.submit(Request { sequence, ..request(second) }) => submitted.ok(),
        () = daemon.sim.killed() => None,
    };
    let taken = submitted.map(|submitted| submitted.deployment);
    // Killed before it could answer, it may have taken it all the same.
    let Some(id) = taken.or_else(|| sim.truth().deployments(By::Ours).pop_last()) else {
        return check_violations(sim);
    };
    let beside = [
        tokio::spawn(meddle(sim.clone(), daemon.engine.clone(), id, aborts)),
        tokio::spawn(compete(daemon.sim.clone(), daemon.engine.clone())),
        tokio::spawn(sicken(sim.clone())),
    ];
    let daemon = daemon.see_all_through().await;
    for task in beside {
        task.abort();
    }
    let daemon = daemon.settle().await.see_all_through().await;
    let after = sim.truth().picture();
    match last_committed(sim, first.deployment) {
        None => check_reverted(sim, &before, &after),
        Some(draft) => check_committed(sim, &after, &draft),
    }
    check_violations(sim);
    drop(daemon);
}

/// What was committed last, if that was not by `first`.
fn last_committed(sim: &Sim, first: DeploymentId) -> Option<Draft> {
    let truth = sim.truth();
    let last = truth.committed[&service()].deployment;
    let opening = &truth.journals[&By::Ours][&last].first()?.record;
    let Record::Opened { request } = opening else { return None };
    match &request.kind {
        Kind::Deploy { draft } if last != first => Some(draft.clone()),
        Kind::Deploy { .. } | Kind::Rollback { .. } => None,
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
        14 | 15 => truth.losses = Losses { forgotten: truth.rng.u32(1..4), denied: 0 },
        16 => truth.losses = Losses { forgotten: 0, denied: truth.rng.u32(1..4) },
        _ => return true,
    }
    truth.rng.u32(0..4) == 0
}

/// One proxy, or each, refuses something: for ever, or for a while where it would never end otherwise.
fn grow_stubborn(truth: &mut Truth) {
    let proxy = truth.rng.choice([None, Some("edge-haproxy"), Some("edge-nginx")]).expect("three");
    let answer = truth.rng.choice([Answer::Refused, Answer::Denied]).expect("two");
    let what = truth.rng.choice(["stage", "flip"]).expect("two");
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
        let _ = engine.abort(id, "simulation", "").await;
    }
    let whim = sim.truth().rng.u32(0..16);
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
        _ => {}
    }
    let deaths = sim.truth().rng.u32(0..6).saturating_sub(3);
    for _ in 0..deaths {
        pause(&sim, 4000).await;
        sim.let_one_die();
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
