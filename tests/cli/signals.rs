//! SIGINT and SIGTERM: the daemon is asked once to abort, and the command is gone within 5 s.

use std::time::{Duration, Instant};

use rstest::rstest;
use tokio::process::Child;
use verdigris::deploy::control::{Refusal, RefusalKind};
use verdigris::model::{FailureKind, Happening, Outcome, Step};

use crate::run::{Ran, asking, finish};
use crate::support::daemon::Daemon;
use crate::support::fake::Call;
use crate::support::samples::{done, failure, scene};

/// From the signal to the end of the process.
const WITHIN: Duration = Duration::from_secs(5);

/// A rollback that goes on until somebody does something; its first line has been printed.
async fn waiting(daemon: &Daemon, more: &[&str]) -> Child {
    daemon.fake.state().script.push(scene(Step::Await, Happening::Began));
    let child = asking(daemon, &[&["rollback", "books-ms"], more].concat()).spawn().unwrap();
    let call = daemon.fake.awaits(|call| matches!(call, Call::Submit(_))).await;
    assert!(matches!(call, Call::Submit(_)));
    daemon.fake.awaits_listeners(1).await;
    child
}

async fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    let sent = tokio::process::Command::new("kill").args(["-s", name, &pid]).status().await;
    assert!(sent.unwrap().success());
}

async fn ends(child: Child) -> Ran {
    let since = Instant::now();
    let ran = finish(child).await;
    assert!(since.elapsed() < WITHIN, "{:?}", since.elapsed());
    ran
}

fn aborts(daemon: &Daemon) -> usize {
    daemon.fake.calls().iter().filter(|call| matches!(call, Call::Abort { .. })).count()
}

fn only(daemon: &Daemon) -> verdigris::model::DeploymentId {
    *daemon.fake.state().deployments.keys().next().unwrap()
}

#[rstest]
#[case("INT")]
#[case("TERM")]
#[tokio::test]
async fn a_revert_that_is_quick_is_seen_to_its_end(#[case] name: &str) {
    let daemon = Daemon::start().await;
    let child = waiting(&daemon, &[]).await;
    signal(&child, name).await;
    let ran = ends(child).await.expect(50);
    assert_eq!(aborts(&daemon), 1);
    let call = daemon.fake.awaits(|call| matches!(call, Call::Abort { .. })).await;
    let Call::Abort { by, why, .. } = call else { panic!() };
    assert!(by.starts_with("jane@"), "{by}");
    assert_eq!(why, format!("the client got SIG{name}"));
    assert!(ran.out.contains("asking the daemon to abort"), "{}", ran.out);
    assert!(ran.err.contains("restored: "), "{}", ran.err);
}

#[tokio::test]
async fn a_revert_that_takes_long_is_left_to_the_daemon() {
    let daemon = Daemon::start().await;
    daemon.fake.state().deaf = true;
    let child = waiting(&daemon, &[]).await;
    signal(&child, "TERM").await;
    let ran = ends(child).await.expect(50);
    assert_eq!(aborts(&daemon), 1);
    let id = only(&daemon);
    let expected = format!(
        "deployment {id} of books-ms is being aborted and is not reverted yet; \
         follow it with `verdigris logs {id} --follow`\n"
    );
    assert_eq!(ran.err, expected);
}

#[tokio::test]
async fn the_junit_file_of_an_aborted_job_holds_a_failure_also_before_the_revert_has_ended() {
    for deaf in [true, false] {
        let daemon = Daemon::start().await;
        daemon.fake.state().deaf = deaf;
        let child = waiting(&daemon, &["--junit", "report.xml"]).await;
        signal(&child, "TERM").await;
        let ran = ends(child).await.expect(50);
        let text = std::fs::read_to_string(daemon.directory.path().join("report.xml")).unwrap();
        assert!(text.contains("failures=\"1\""), "{text}");
        assert!(text.contains("type=\"exit-50\""), "{text}");
        assert_eq!(text.contains("skipped message=\"stopped\""), !deaf, "{text}");
        if deaf {
            assert!(text.contains(ran.err.trim()), "{text}");
        }
    }
}

#[tokio::test]
async fn a_second_signal_leaves_at_once_and_asks_nothing_more() {
    let daemon = Daemon::start().await;
    daemon.fake.state().deaf = true;
    let child = waiting(&daemon, &[]).await;
    signal(&child, "INT").await;
    daemon.fake.awaits(|call| matches!(call, Call::Abort { .. })).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let since = Instant::now();
    signal(&child, "INT").await;
    finish(child).await.expect(50);
    assert!(since.elapsed() < Duration::from_secs(2));
    assert_eq!(aborts(&daemon), 1);
}

#[tokio::test]
async fn what_has_committed_is_not_called_aborted() {
    let daemon = Daemon::start().await;
    daemon.fake.state().script =
        vec![scene(Step::Commit, Happening::Began), scene(Step::Commit, done(""))];
    let child = waiting(&daemon, &[]).await;
    signal(&child, "TERM").await;
    let ran = ends(child).await.expect(0);
    assert!(ran.err.contains("has committed already and is being finished"), "{}", ran.err);
}

#[tokio::test]
async fn what_is_about_to_commit_is_called_neither() {
    let daemon = Daemon::start().await;
    daemon.fake.state().script = vec![scene(Step::Commit, Happening::Began)];
    daemon.fake.state().deaf = true;
    let child = waiting(&daemon, &[]).await;
    signal(&child, "TERM").await;
    let ran = ends(child).await.expect(41);
    let id = only(&daemon);
    let expected = format!(
        "error: deployment {id} can no longer be aborted, and has not committed yet\n\
         help: how it ends is not known here: follow it with `verdigris logs {id} --follow`\n"
    );
    assert_eq!(ran.err, expected);
}

#[tokio::test]
async fn a_signal_while_it_is_stuck_is_20() {
    let daemon = Daemon::start().await;
    let problem = failure(Step::Start, FailureKind::Start, "a task does not stop");
    let cause = failure(Step::Await, FailureKind::Start, "unhealthy");
    daemon.fake.state().script = vec![
        scene(Step::Start, Happening::Began),
        scene(Step::Start, done("")),
        scene(Step::Await, Happening::Began),
        scene(Step::Await, Happening::Failed { failure: cause }),
        scene(Step::Start, Happening::Undoing),
        scene(Step::Start, Happening::Stuck { problem }),
    ];
    daemon.fake.state().deaf = true;
    let child = waiting(&daemon, &[]).await;
    signal(&child, "TERM").await;
    let ran = ends(child).await.expect(20);
    assert!(ran.err.contains("stuck: `start`: a task does not stop"), "{}", ran.err);
}

#[tokio::test]
async fn a_commit_that_comes_before_the_abort_is_a_success() {
    let daemon = Daemon::start().await;
    daemon.fake.state().deaf = true;
    let child = waiting(&daemon, &[]).await;
    signal(&child, "TERM").await;
    daemon.fake.awaits(|call| matches!(call, Call::Abort { .. })).await;
    daemon.fake.tell(only(&daemon), None, Happening::Ended { outcome: Outcome::Committed });
    ends(child).await.expect(0);
}

#[tokio::test]
async fn a_daemon_that_cannot_be_asked_is_41_not_50() {
    let daemon = Daemon::start().await;
    let child = waiting(&daemon, &[]).await;
    let id = only(&daemon);
    daemon.fake.state().refusal = Some(Refusal::new(RefusalKind::Unreachable, "no registry"));
    signal(&child, "TERM").await;
    let ran = ends(child).await.expect(41);
    assert!(
        ran.err.contains(&format!("lost deployment {id} out of sight: no registry")),
        "{}",
        ran.err
    );
}

#[rstest]
#[case::taken(1000, 50)]
#[case::never(60_000, 41)]
#[tokio::test]
async fn a_signal_that_comes_before_the_daemon_has_answered(
    #[case] millis: u64,
    #[case] code: i32,
) {
    let daemon = Daemon::start().await;
    daemon.fake.state().think = Duration::from_millis(millis);
    let child = asking(&daemon, &["rollback", "books-ms"]).spawn().unwrap();
    daemon.fake.awaits(|call| matches!(call, Call::Submit(_))).await;
    signal(&child, "TERM").await;
    let ran = ends(child).await.expect(code);
    if code == 50 {
        assert_eq!(aborts(&daemon), 1);
    } else {
        assert!(ran.err.contains("SIGTERM came before the daemon had answered"), "{}", ran.err);
        assert!(ran.err.contains("`verdigris history books-ms`"), "{}", ran.err);
    }
}

#[tokio::test]
async fn watching_and_following_end_by_a_signal_and_abort_nothing() {
    let daemon = Daemon::start().await;
    daemon.fake.open(crate::support::samples::view("books-ms"));
    for arguments in [&["watch"][..], &["logs", "books-ms", "--follow"]] {
        let child = asking(&daemon, arguments).spawn().unwrap();
        daemon.fake.awaits_listeners(1).await;
        signal(&child, "TERM").await;
        ends(child).await;
    }
    assert_eq!(daemon.fake.calls(), []);
}
