//! A revert that cannot be finished: what is said of it, and how it goes on.

use std::time::Duration;

use futures_util::StreamExt as _;
use verdigris::deploy::record::{Journalled, Record};
use verdigris::model::{ExitCode, Happening, Outcome, Step};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, request, service};
use crate::world::{Daemon as SimDaemon, Sim};

#[test]
fn stuck_says_what_is_left_and_goes_on_when_the_cause_is_gone() {
    for by_hand in [true, false] {
        in_virtual_time(stuck(by_hand));
    }
}

async fn stuck(by_hand: bool) {
    let sim = Sim::new(1);
    let daemon = Daemon::start(&sim).await;
    let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
    let (daemon, _) = daemon.see_through(first).await;
    let before = sim.truth().picture();

    sim.truth().refuse_restore = Some("books-ms-green".to_owned());
    let mut broken = draft("good/books:22");
    broken.policy.gates.pre_integration = vec![gate("fail")];
    let alerts = daemon.engine.watch();
    let id = daemon.engine.submit(request(broken)).await.unwrap().deployment;
    tokio::time::sleep(Duration::from_secs(40)).await;

    let view = daemon.engine.deployment(id).await.unwrap();
    let Some(outcome @ Outcome::Stuck { problem, .. }) = &view.outcome else {
        panic!("{:?}", view.outcome)
    };
    assert_eq!(outcome.exit_code(), ExitCode::Stuck);
    assert_eq!(problem.step, Step::Start);
    assert_eq!(problem.message, "cannot remove `books-ms-green`: a task does not stop");
    assert_eq!(problem.details, ["still to be undone: start, pre-integration, pre-deployment"]);
    let mut alerts =
        alerts.filter(|event| std::future::ready(matches!(event.what, Happening::Stuck { .. })));
    assert_eq!(alerts.next().await.unwrap().deployment, id);

    // The tries are many, the journal tells of one.
    let undoing =
        |entry: &&Journalled| matches!(entry.record, Record::Undoing { step: Step::Start });
    let journal = sim.truth().journals[&SimDaemon::Ours][&id].clone();
    assert_eq!(journal.iter().filter(undoing).count(), 1);

    // Others are not affected.
    let mut other = draft("good/other:1");
    other.service = "other-ms".parse().unwrap();
    other.policy.route.as_mut().unwrap().hosts = vec!["other.example.com".to_owned()];
    let other = daemon.engine.submit(request(other)).await.unwrap().deployment;
    let (daemon, view) = daemon.see_through(other).await;
    assert_eq!(view.outcome, Some(Outcome::Committed));

    sim.truth().refuse_restore = None;
    if by_hand {
        daemon.engine.retry(id, "a person").await.unwrap();
        // Longer than between two tries of an undo, shorter than a stuck one rests by itself.
        tokio::time::sleep(Duration::from_secs(5)).await;
    } else {
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    let view = daemon.engine.deployment(id).await.unwrap();
    assert!(matches!(view.outcome, Some(Outcome::Reverted { .. })), "{:?}", view.outcome);
    let after = sim.truth().picture();
    assert_eq!(before.registry[&service()], after.registry[&service()]);
    assert!(!after.swarm.contains_key("books-ms-green"));
}
