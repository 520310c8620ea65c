//! Every exit code.

use rstest::rstest;
use verdigris::deploy::control::{Refusal, RefusalKind};
use verdigris::model::{FailureKind, Happening, Outcome, Step};

use crate::run::{program, run};
use crate::support::daemon::Daemon;
use crate::support::samples::{self, done, failure, scene};

#[rstest]
#[case(FailureKind::Invalid, 2)]
#[case(FailureKind::Start, 10)]
#[case(FailureKind::PreGate, 11)]
#[case(FailureKind::PostGate, 12)]
#[case(FailureKind::Proxy, 13)]
#[case(FailureKind::Superseded, 31)]
#[case(FailureKind::Approval, 32)]
#[case(FailureKind::Deadline, 40)]
#[case(FailureKind::Unreachable, 41)]
#[case(FailureKind::Aborted, 50)]
#[case(FailureKind::Internal, 1)]
#[tokio::test]
async fn a_reverted_deployment_ends_with_what_made_it_fail(
    #[case] kind: FailureKind,
    #[case] code: i32,
) {
    let daemon = Daemon::start().await;
    daemon.fake.state().script = samples::reverted(&failure(Step::Await, kind, "the reason"));
    let ran = run(&daemon, &["rollback", "books-ms"]).await.expect(code);
    assert!(ran.err.contains("`await`: the reason"), "{}", ran.err);
    assert!(ran.err.contains("restored: "), "{}", ran.err);
}

#[tokio::test]
async fn what_is_live_already_is_a_success() {
    let daemon = Daemon::start().await;
    let outcome = Outcome::Unchanged;
    daemon.fake.state().script = vec![scene(None, Happening::Ended { outcome })];
    let ran = run(&daemon, &["rollback", "books-ms"]).await.expect(0);
    assert!(ran.out.contains("unchanged: that very release is live already"), "{}", ran.out);
}

#[tokio::test]
async fn stuck_is_20_and_says_what_to_do() {
    // What the engine says of it is looked at in `tests/simulation/told.rs`.
    let daemon = Daemon::start().await;
    let mut problem = failure(Step::Switch, FailureKind::Proxy, "edge-nginx does not answer");
    problem.remedy = Some("start nginx".to_owned());
    let cause = failure(Step::PostIntegration, FailureKind::PostGate, "status 500");
    daemon.fake.state().script = vec![
        scene(Step::Switch, Happening::Began),
        scene(Step::PostIntegration, Happening::Began),
        scene(Step::PostIntegration, Happening::Failed { failure: cause }),
        scene(Step::Switch, Happening::Undoing),
        scene(Step::Switch, Happening::Stuck { problem }),
    ];
    let directory = daemon.directory.path().to_owned();
    let arguments = ["rollback", "books-ms", "--junit", "report.xml"];
    let ran = run(&daemon, &arguments).await.expect(20);
    assert!(ran.out.contains("this command leaves it to you in 15s"), "{}", ran.out);
    let report = std::fs::read_to_string(directory.join("report.xml")).unwrap();
    assert!(report.contains("edge-nginx does not answer"), "{report}");
    for words in [
        "error: `post-integration`: status 500",
        "stuck: `switch`: edge-nginx does not answer",
        "help: start nginx",
        "`verdigris retry 0",
    ] {
        assert!(ran.err.contains(words), "{words} in {}", ran.err);
    }
}

#[tokio::test]
async fn what_is_stuck_for_a_moment_is_waited_for() {
    let daemon = Daemon::start().await;
    let problem = failure(Step::Retire, FailureKind::Proxy, "edge-nginx does not answer");
    let mut end = scene(Step::Retire, done(""));
    end.pause = std::time::Duration::from_secs(1);
    daemon.fake.state().script = vec![
        scene(Step::Retire, Happening::Began),
        scene(Step::Retire, Happening::Stuck { problem }),
        end,
        scene(None, Happening::Ended { outcome: Outcome::Committed }),
    ];
    run(&daemon, &["rollback", "books-ms"]).await.expect(0);
}

#[rstest]
#[case(RefusalKind::Invalid, 2)]
#[case(RefusalKind::Unknown, 2)]
#[case(RefusalKind::Busy, 30)]
#[case(RefusalKind::WrongState, 30)]
#[case(RefusalKind::OutOfSequence, 31)]
#[case(RefusalKind::Proxy, 13)]
#[case(RefusalKind::Unreachable, 41)]
#[case(RefusalKind::ShuttingDown, 41)]
#[case(RefusalKind::Internal, 1)]
#[tokio::test]
async fn a_refused_submission_ends_with_the_kind_of_refusal(
    #[case] kind: RefusalKind,
    #[case] code: i32,
) {
    let daemon = Daemon::start().await;
    let mut refusal = Refusal::new(kind, "this is why").remedy("this is what to do");
    refusal.details = vec!["this is more".to_owned()];
    daemon.fake.state().refusal = Some(refusal);
    let ran = run(&daemon, &["rollback", "books-ms"]).await.expect(code);
    assert_eq!(ran.out, "");
    assert_eq!(ran.err, "error: this is why\n  this is more\nhelp: this is what to do\n");
}

#[rstest]
#[case("abort")]
#[case("approve")]
#[case("reject")]
#[case("retry")]
#[tokio::test]
async fn acts_that_come_too_late_are_30(#[case] verb: &str) {
    let daemon = Daemon::start().await;
    let id = daemon.fake.open(samples::view("books-ms")).to_string();
    daemon.fake.state().refusal = Some(Refusal::new(RefusalKind::WrongState, "it has ended"));
    let ran = run(&daemon, &[verb, &id]).await.expect(30);
    assert_eq!(ran.err, "error: it has ended\n");
}

#[rstest]
#[case(&["deploy"])]
#[case(&["plan"])]
#[case(&["rollback", "books-ms"])]
#[case(&["abort", "books-ms"])]
#[case(&["approve", "books-ms"])]
#[case(&["reject", "books-ms"])]
#[case(&["retry", "books-ms"])]
#[case(&["status"])]
#[case(&["colour", "books-ms"])]
#[case(&["instances", "books-ms"])]
#[case(&["history"])]
#[case(&["show", "books-ms"])]
#[case(&["logs", "books-ms"])]
#[case(&["logs", "books-ms", "--follow"])]
#[case(&["watch"])]
#[case(&["render", "edge"])]
#[case(&["doctor"])]
#[tokio::test]
async fn a_daemon_that_is_not_there_is_41_for_every_verb(#[case] arguments: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("stack.yml"), crate::run::STACK).unwrap();
    for address in ["unix:none.sock", "http://127.0.0.1:1"] {
        let mut command = program(directory.path());
        let child = command.args(["--daemon", address]).args(arguments).spawn().unwrap();
        let ran = crate::run::finish(child).await.expect(41);
        assert_eq!(ran.out, "");
        let start = format!("error: cannot reach the daemon at `{address}`: ");
        assert!(ran.err.starts_with(&start), "{}", ran.err);
        assert_eq!(ran.err.matches("error: ").count(), 1, "said once: {}", ran.err);
        let help = ran.err.lines().last().unwrap();
        assert!(help.starts_with("help: ") && help.contains("`verdigris serve`"), "{}", ran.err);
    }
}

#[rstest]
#[case(&[])]
#[case(&["destroy"])]
#[case(&["rollback"])]
#[case(&["rollback", "Books"])]
#[case(&["colour", "-x"])]
#[case(&["deploy", "--sequence", "first"])]
#[case(&["deploy", "--deadline", "soon"])]
#[case(&["deploy", "--on-busy", "panic"])]
#[case(&["deploy", "--var", "TAG"])]
#[case(&["deploy", "--image", "a b"])]
#[case(&["history", "--limit", "0"])]
#[case(&["show", "0193xyz"])]
#[case(&["status", "--output", "yaml"])]
#[case(&["status", "--daemon", "tcp://localhost"])]
#[case(&["completions", "tcsh"])]
#[tokio::test]
async fn wrong_usage_is_2_and_asks_nobody(#[case] arguments: &[&str]) {
    let daemon = Daemon::start().await;
    let ran = run(&daemon, arguments).await.expect(2);
    assert_eq!(ran.out, "");
    assert!(!ran.err.is_empty());
    assert_eq!(daemon.fake.calls(), []);
}

#[tokio::test]
async fn a_wrong_stack_file_is_2_with_every_problem_in_its_place() {
    let daemon = Daemon::start().await;
    let stack = "services:\n  books-ms:\n    image: books\n    replicas: 2\n    x-verdigris:\n      port: 99999\n";
    std::fs::write(daemon.directory.path().join("stack.yml"), stack).unwrap();
    let ran = run(&daemon, &["deploy"]).await.expect(2);
    let lines: Vec<&str> = ran.err.lines().collect();
    assert_eq!(lines.len(), 2, "{}", ran.err);
    assert!(lines[0].starts_with("error: stack.yml:4:"), "{}", ran.err);
    assert!(lines[1].starts_with("error: stack.yml:6:"), "{}", ran.err);
    assert_eq!(daemon.fake.calls(), []);
    let ran = run(&daemon, &["deploy", "-f", "none.yml"]).await.expect(2);
    assert!(
        ran.err.starts_with("error: cannot read stack file `none.yml`: No such"),
        "{}",
        ran.err
    );
}
