//! A failure is of the kind that what failed makes it, not the step.

use std::time::Duration;

use tokio::time::Instant;
use verdigris::model::{Approval, FailureKind, Outcome, Phase};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, request};
use crate::world::{Part, Sim};

#[test]
fn a_switch_that_cannot_be_made_without_registry_or_swarm_is_no_failure_of_a_proxy() {
    for part in [Part::Registry, Part::Swarm] {
        in_virtual_time(switch_without(part));
    }
}

async fn switch_without(part: Part) {
    let sim = Sim::new(1);
    let daemon = Daemon::start(&sim).await;
    let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
    let (daemon, _) = daemon.see_through(first).await;
    let mut second = draft("good/books:22");
    second.policy.approve = Some(Approval { expires: Duration::from_secs(600) });
    let id = daemon.engine.submit(request(second)).await.unwrap().deployment;
    while daemon.engine.deployment(id).await.unwrap().phase != Phase::Waiting {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sim.truth().faults.away.insert(part, Instant::now() + Duration::from_secs(60));
    daemon.engine.approve(id, "a person").await.unwrap();
    let (_daemon, view) = daemon.see_through(id).await;
    let Some(Outcome::Reverted { failure }) = view.outcome else { panic!("{:?}", view.outcome) };
    assert_eq!(failure.kind, FailureKind::Unreachable, "{part:?} is away: {failure:?}");
}
