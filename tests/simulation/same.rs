//! What is asked for while a deployment of the same service is under way.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use verdigris::deploy::control::{RefusalKind, Submitted};
use verdigris::model::{Approval, DeploymentId, OnBusy, Request};

use crate::daemon::{Daemon, in_virtual_time};
use crate::draft::{draft, gate, request, service};
use crate::world::Sim;

/// Longer than everything takes up to the approval.
const SOME_TIME: Duration = Duration::from_secs(60);

/// A deployment that waits for a person.
fn held(image: &str) -> Request {
    let mut draft = draft(image);
    draft.policy.approve = Some(Approval { expires: Duration::from_secs(300) });
    request(draft)
}

async fn under_way(daemon: &Daemon, request: Request) -> DeploymentId {
    let id = daemon.engine.submit(request).await.unwrap().deployment;
    sleep(SOME_TIME).await;
    id
}

async fn refused(daemon: &Daemon, request: Request) -> (RefusalKind, String) {
    let refusal = daemon.engine.submit(request).await.unwrap_err();
    (refusal.kind, refusal.message)
}

#[test]
fn the_same_digest_attaches_and_what_the_tag_means_now_does_not() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let daemon = Daemon::start(&sim).await;
        let first = daemon.engine.submit(held("good/books:1")).await.unwrap().deployment;
        let attached = Submitted { deployment: first, attached: true };
        assert_eq!(daemon.engine.submit(held("good/books:1")).await.unwrap(), attached);
        sleep(SOME_TIME).await;
        assert_eq!(daemon.engine.submit(held("good/books:1")).await.unwrap(), attached);
        // One that is not forced could end without doing anything.
        let forced = Request { force: true, ..held("good/books:1") };
        assert_eq!(refused(&daemon, forced).await.0, RefusalKind::Busy);
        sim.truth().pushes += 1;
        assert_eq!(refused(&daemon, held("good/books:1")).await.0, RefusalKind::Busy);
        let newest = Request { on_busy: OnBusy::Supersede, ..held("good/books:1") };
        let second = daemon.engine.submit(newest).await.unwrap();
        assert!(!second.attached);
        let image = |view: verdigris::model::DeploymentView| view.image.unwrap();
        let first = image(daemon.engine.deployment(first).await.unwrap());
        sleep(SOME_TIME).await;
        assert_ne!(image(daemon.engine.deployment(second.deployment).await.unwrap()), first);
    });
}

#[test]
fn one_image_may_be_written_in_several_ways() {
    in_virtual_time(async {
        let sim = Sim::new(1);
        let daemon = Daemon::start(&sim).await;
        let first = under_way(&daemon, held("good/books:1")).await;
        let image = daemon.engine.deployment(first).await.unwrap().image.unwrap();
        let (_, digest) = image.split_once('@').unwrap();
        let attached = Submitted { deployment: first, attached: true };
        for same in [image.clone(), format!("good/books@{digest}")] {
            assert_eq!(daemon.engine.submit(held(&same)).await.unwrap(), attached, "{same}");
        }
        let zeros = "0".repeat(64);
        for other in [format!("good/books@sha256:{zeros}"), format!("other/books@{digest}")] {
            assert_eq!(refused(&daemon, held(&other)).await.0, RefusalKind::Busy, "{other}");
        }
    });
}

#[test]
fn nobody_joins_what_goes_back() {
    in_virtual_time(async {
        let sim = Sim::new(2);
        let daemon = Daemon::start(&sim).await;
        sim.truth().refuse_restore = Some("books-ms-blue".to_owned());
        let mut broken = draft("good/books:1");
        broken.policy.gates.pre_integration = vec![gate("fail")];
        let id = daemon.engine.submit(request(broken.clone())).await.unwrap().deployment;
        sleep(Duration::from_secs(8)).await;
        let (kind, message) = refused(&daemon, request(broken.clone())).await;
        assert_eq!(kind, RefusalKind::Busy);
        assert_eq!(message, format!("deployment {id} of `books-ms` is being reverted"));
        sleep(SOME_TIME).await;
        let (kind, message) = refused(&daemon, request(broken)).await;
        assert_eq!(kind, RefusalKind::Busy);
        assert_eq!(message, format!("deployment {id} of `books-ms` is stuck"));
    });
}

#[test]
fn a_sequence_that_attached_was_accepted() {
    in_virtual_time(async {
        let sim = Sim::new(3);
        let daemon = Daemon::start(&sim).await;
        let at = |sequence, image| Request { sequence: Some(sequence), ..held(image) };
        under_way(&daemon, at(5, "good/books:1")).await;
        assert!(daemon.engine.submit(at(7, "good/books:1")).await.unwrap().attached);
        let (kind, _) = refused(&daemon, at(6, "good/books:22")).await;
        assert_eq!(kind, RefusalKind::OutOfSequence);
        let (kind, _) = refused(&daemon, at(5, "good/books:1")).await;
        assert_eq!(kind, RefusalKind::OutOfSequence);
    });
}

/// Whoever asks goes away at any instant of the admission.
#[test]
fn what_is_on_record_runs_though_nobody_waited_for_the_answer() {
    for after in (0..20).map(|step| Duration::from_micros(step * 500)) {
        in_virtual_time(async {
            let sim = Sim::new(4);
            let daemon = Daemon::start(&sim).await;
            let _ = timeout(after, daemon.engine.submit(request(draft("good/books:1")))).await;
            sleep(SOME_TIME).await;
            assert!(sim.truth().open.is_empty(), "a ghost after {after:?}");
            assert_eq!(daemon.engine.busy(), []);
        });
    }
}

#[test]
fn a_service_whose_deployment_is_being_undone_keeps_answering() {
    in_virtual_time(async {
        let sim = Sim::new(5);
        let daemon = Daemon::start(&sim).await;
        let first = under_way(&daemon, held("good/books:1")).await;
        sim.truth().refuse_restore = Some("books-ms-blue".to_owned());
        daemon.engine.abort(first, "a person", "").await.unwrap();
        sleep(Duration::from_secs(2)).await;
        for count in 0..12 {
            let image = format!("good/books:{}", "2".repeat(count + 2));
            let newer = Request { on_busy: OnBusy::Supersede, ..held(&image) };
            let answer = timeout(Duration::from_secs(1), daemon.engine.submit(newer)).await;
            answer.expect("it answers").unwrap();
        }
        sim.truth().refuse_restore = None;
        sleep(SOME_TIME).await;
        let view = daemon.engine.deployment(first).await.unwrap();
        assert_eq!(view.outcome.unwrap().exit_code() as u8, 50);
        assert_eq!(daemon.engine.busy(), [service()]);
    });
}

/// The second comes at any instant while the first finds out that there is nothing to do.
#[test]
fn whoever_asks_twice_for_what_is_live_is_not_told_that_it_is_busy() {
    for pause in (0..40).map(|step| Duration::from_millis(step * 2)) {
        in_virtual_time(async move {
            let sim = Sim::new(6);
            let daemon = Daemon::start(&sim).await;
            let live = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap();
            let (daemon, _) = daemon.see_through(live.deployment).await;
            daemon.engine.submit(request(draft("good/books:1"))).await.unwrap();
            sleep(pause).await;
            let second = daemon.engine.submit(request(draft("good/books:1"))).await;
            assert!(second.is_ok(), "after {pause:?}: {second:?}");
        });
    }
}
