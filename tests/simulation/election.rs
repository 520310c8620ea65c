//! The registry changes its leader: what was read may be out of date, what was written may have been done
//! though it was answered with an error, sessions may be forgotten.

use std::time::Duration;

use tokio::time::Instant;
use verdigris::model::{DeploymentId, DeploymentView, Draft, FailureKind, Outcome};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, request, service};
use crate::ends::{check_live, check_reverted, check_violations};
use crate::world::{Election, Sim};

/// Longer than the reconciler leaves anything unseen.
const SEEN: Duration = Duration::from_secs(15);

/// From now on the servers that are asked are `behind`, or have no leader, so often.
fn elect(sim: &Sim, leaderless: u32, behind: u32) {
    let until = Instant::now() + Duration::from_secs(10);
    sim.elect(Election { until, leaderless, behind });
}

async fn submit(daemon: &Daemon, draft: Draft) -> DeploymentId {
    daemon.engine.submit(request(draft)).await.unwrap().deployment
}

/// Some time in a deployment.
async fn some_time(sim: &Sim) {
    let millis = sim.truth().rng.u64(1..3000);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// What a release came to that met an election: the first one, or one that follows on another.
async fn released(seed: u64, follows: bool, meets: impl FnOnce(&Sim)) -> DeploymentView {
    let sim = Sim::new(seed);
    let mut daemon = Daemon::start(&sim).await;
    if follows {
        let first = submit(&daemon, draft("good/books:1")).await;
        (daemon, _) = daemon.see_through(first).await;
    }
    let before = sim.truth().picture();
    let id = submit(&daemon, draft("good/books:22")).await;
    some_time(&sim).await;
    meets(&sim);
    let (_daemon, view) = daemon.see_through(id).await;
    tokio::time::sleep(SEEN).await;
    match &view.outcome {
        Some(Outcome::Committed) => {
            let (colour, release) = (view.colour.unwrap(), view.release.as_ref().unwrap());
            check_live(&sim, colour, release.as_str());
        }
        _ => check_reverted(&sim, &service(), &before),
    }
    check_violations(&sim);
    view
}

#[test]
fn a_release_is_exactly_committed_or_reverted_whatever_was_done_and_denied_in_an_election() {
    for follows in [true, false] {
        let mut ends = (0, 0);
        for seed in 0..200 {
            in_virtual_time(async {
                let meets = |sim: &Sim| elect(sim, 30, 60);
                match released(seed, follows, meets).await.outcome {
                    Some(Outcome::Committed) => ends.0 += 1,
                    _ => ends.1 += 1,
                }
            });
        }
        assert!(ends.0 > 10 && ends.1 > 10, "both ends are met: {ends:?}");
    }
}

#[test]
fn a_session_that_was_forgotten_takes_the_service_from_nobody() {
    let mut failed = 0;
    for seed in 0..80 {
        in_virtual_time(async {
            let view = released(seed, true, Sim::lose_session).await;
            if let Some(Outcome::Reverted { failure }) = view.outcome {
                assert_eq!(failure.kind, FailureKind::Unreachable, "seed {seed}: {failure:?}");
                failed += 1;
            }
        });
    }
    assert!(failed > 10, "writes meet it: {failed}");
}
