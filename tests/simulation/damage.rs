//! Journals that were damaged while the daemon was away: nothing is stopped or retired on their word.

use std::time::Duration;

use verdigris::deploy::record::{Journalled, Record};
use verdigris::model::{DeploymentId, Draft, Outcome, Retain, Step};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, request, service};
use crate::ends::{check_live, check_violations};
use crate::world::{Daemon as SimDaemon, Sim};

/// What happens to the last record of a journal.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// It cannot be read.
    Unreadable,
    /// It is missing, and the one before it cannot be read.
    Torn,
    /// The first of two is missing: one that stands alone is no hole.
    Hole,
    /// The whole journal is lost, with all others.
    Everything,
}

impl Damage {
    const ALL: [Self; 4] = [Self::Unreadable, Self::Torn, Self::Hole, Self::Everything];

    fn strike(self, sim: &Sim, id: DeploymentId) {
        let mut truth = sim.truth();
        // Nobody goes on with it.
        truth.open.remove(&(SimDaemon::Ours, id));
        let journals = truth.journals.get_mut(&SimDaemon::Ours).unwrap();
        let entries = journals.get_mut(&id).unwrap();
        let unreadable =
            |entry: &mut Journalled| entry.record = Record::Unreadable { problem: "x".to_owned() };
        match self {
            Self::Unreadable => entries.last_mut().into_iter().for_each(unreadable),
            Self::Torn => {
                entries.pop();
                entries.last_mut().into_iter().for_each(unreadable);
            }
            Self::Hole => drop(entries.remove(entries.len() - 2)),
            Self::Everything => journals.clear(),
        }
    }
}

/// A release that keeps the old colour for so many seconds.
fn kept(image: &str, seconds: u64) -> Draft {
    let mut draft = draft(image);
    let duration = Some(Duration::from_secs(seconds));
    draft.policy.retain = Retain { releases: 1, scale: None, duration };
    draft
}

/// `draft` is under way, its journal has come to where `reached` says, and the daemon is killed. None
/// when it has ended before.
async fn ended_when(
    daemon: Daemon,
    draft: Draft,
    reached: impl Fn(&[Journalled]) -> bool,
) -> Option<(DeploymentId, Daemon)> {
    let id = daemon.engine.submit(request(draft)).await.unwrap().deployment;
    let is_open = |daemon: &Daemon| daemon.sim.truth().open.contains_key(&(SimDaemon::Ours, id));
    while !daemon.sim.with_journal(|journals| reached(&journals[&id])) {
        if !is_open(&daemon) {
            return None;
        }
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    let next = daemon.sim.truth().faults.acts + 1;
    daemon.sim.truth().faults.kills.push(next);
    daemon.sim.killed().await;
    is_open(&daemon).then_some((id, daemon))
}

async fn is_left_alone(damage: Damage, length: usize) -> bool {
    let sim = Sim::new(length as u64);
    let reached = |journal: &[Journalled]| journal.len() >= length;
    let daemon = Daemon::start(&sim).await;
    let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
    let (daemon, _) = daemon.see_through(first).await;
    let second = kept("good/books:22", 0);
    let Some((id, daemon)) = ended_when(daemon, second, reached).await else { return false };
    let names = |sim: &Sim| {
        let truth = sim.truth();
        truth.swarm.keys().map(|name| (name.clone(), truth.serving(name))).collect::<Vec<_>>()
    };
    let what = format!("{damage:?} after {length} records");
    damage.strike(&sim, id);
    let live = sim.truth().committed[&service()].colour;
    drop(daemon);
    let daemon = Daemon::start(&sim).await;
    // Tasks that were about to run do so.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = names(&sim);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(names(&sim), before, "{what}: nothing is started, stopped or removed");
    let serving = sim.truth().serving(&service().swarm_name(live));
    assert_eq!(serving.len(), 2, "{what}: the live colour serves");
    if !matches!(damage, Damage::Everything) {
        let problems = daemon.engine.problems();
        assert_eq!(problems.len(), 1, "{what}: {problems:?}");
        assert!(problems[0].contains(&id.to_string()), "{what}: {problems:?}");
        assert!(!daemon.engine.is_under_way(id));
    }
    check_violations(&sim);

    // People can go on.
    let next = daemon.engine.submit(request(draft("good/books:333"))).await.unwrap().deployment;
    let (_, view) = daemon.see_through(next).await;
    assert_eq!(view.outcome, Some(Outcome::Committed), "{what}");
    check_violations(&sim);
    true
}

#[test]
fn a_damaged_journal_is_left_alone_wherever_it_was_cut() {
    for damage in Damage::ALL {
        for length in 3.. {
            let (ran, told) = std::sync::mpsc::channel();
            in_virtual_time(async move {
                let _ = ran.send(is_left_alone(damage, length).await);
            });
            if !told.recv().unwrap() {
                assert!(length > 15, "a deployment has that many records");
                break;
            }
        }
    }
}

/// What was committed before it is not what was committed last: what that one said of the old colour does
/// not hold for the one that is old now.
#[test]
fn an_older_commit_does_not_speak_for_one_that_cannot_be_read() {
    in_virtual_time(async {
        let sim = Sim::new(7);
        let daemon = Daemon::start(&sim).await;
        let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
        let (daemon, _) = daemon.see_through(first).await;
        let is_done = |entry: &Journalled, wanted| matches!(entry.record, Record::Done { step, .. } if step == wanted);
        let reached =
            |journal: &[Journalled]| journal.iter().any(|entry| is_done(entry, Step::Commit));
        let second = request(kept("good/books:22", 0));
        let second = daemon.engine.submit(second).await.unwrap().deployment;
        let (daemon, _) = daemon.see_through(second).await;
        let third = kept("good/books:333", 3600);
        let Some((id, daemon)) = ended_when(daemon, third, reached).await else {
            panic!("it ends before it is damaged")
        };
        Damage::Unreadable.strike(&sim, id);
        let committed = sim.truth().committed[&service()].clone();
        let old = service().swarm_name(committed.colour.other());
        drop(daemon);
        let _daemon = Daemon::start(&sim).await;
        tokio::time::sleep(Duration::from_secs(120)).await;
        check_live(&sim, committed.colour, &committed.release);
        assert_eq!(sim.truth().serving(&old).len(), 2, "it is kept for longer");
        check_violations(&sim);
    });
}
