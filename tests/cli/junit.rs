//! The JUnit report: always there, whole, with what test containers wrote.

use std::path::PathBuf;

use quick_junit::{NonSuccessKind, Report, TestCaseStatus};
use verdigris::deploy::control::{Refusal, RefusalKind};
use verdigris::model::{FailureKind, GateReport, Happening, Outcome, Step};

use crate::run::{STACK, run};
use crate::support::daemon::Daemon;
use crate::support::samples::{self, done, failure, scene};

const WRITTEN: &str = r#"<?xml version="1.0"?>
<testsuite name="books" tests="2" failures="1" errors="0" time="0.2">
  <testcase classname="books.api" name="lists books" time="0.1"/>
  <testcase classname="books.api" name="finds a book" time="0.1"><failure message="404 &lt;nil&gt;">at line 7</failure></testcase>
</testsuite>"#;

async fn report(daemon: &Daemon, code: i32) -> Report {
    let path = daemon.directory.path().join("report.xml");
    run(daemon, &["rollback", "books-ms", "--junit", "report.xml"]).await.expect(code);
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(leftovers(daemon), Vec::<PathBuf>::new());
    Report::deserialize_from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Staged files that were not cleaned up.
fn leftovers(daemon: &Daemon) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(daemon.directory.path()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().contains(".verdigris-junit")).collect()
}

/// `suite/case: status`
fn cases(report: &Report) -> Vec<String> {
    let mut cases = Vec::new();
    for suite in &report.test_suites {
        for case in &suite.test_cases {
            let status = match &case.status {
                TestCaseStatus::Success { .. } => "passed".to_owned(),
                TestCaseStatus::Skipped { message, .. } => {
                    format!("skipped, {}", message.as_ref().map_or("", |text| text.as_str()))
                }
                TestCaseStatus::NonSuccess { kind, message, .. } => {
                    let kind = match kind {
                        NonSuccessKind::Failure => "failed",
                        NonSuccessKind::Error => "error",
                    };
                    format!("{kind}, {}", message.as_ref().map_or("", |text| text.as_str()))
                }
            };
            cases.push(format!("{}/{}: {status}", suite.name.as_str(), case.name.as_str()));
        }
    }
    cases
}

#[tokio::test]
async fn each_phase_is_a_suite_with_its_gates() {
    let daemon = Daemon::start().await;
    daemon.fake.state().script = samples::success();
    let report = report(&daemon, 0).await;
    let names: Vec<&str> = report.test_suites.iter().map(|suite| suite.name.as_str()).collect();
    let mut expected: Vec<&str> = Step::ALL.iter().map(|step| step.as_str()).collect();
    expected.push("deployment");
    assert_eq!(names, expected);
    let cases = cases(&report);
    for case in [
        "prepare/prepare: passed",
        "pre-integration/pre-integration tests: passed",
        "approve/approve: skipped, not asked for",
        "deployment/committed: passed",
    ] {
        assert!(cases.contains(&case.to_owned()), "{case} in {cases:#?}");
    }
    let gate = &report.test_suites[1].test_cases[1];
    assert_eq!(gate.time.unwrap().as_millis(), 1234);
    assert_eq!(gate.system_out.as_ref().unwrap().as_str(), "ok");
    assert_eq!(gate.classname.as_ref().unwrap().as_str(), "verdigris.pre-deployment");
}

#[tokio::test]
async fn a_failure_is_in_its_phase_and_later_ones_are_not_reached() {
    let daemon = Daemon::start().await;
    let mut cause = failure(Step::PreIntegration, FailureKind::PreGate, "gate `api` failed");
    cause.details = vec!["\u{1b}[1mlast <line> & more\u{1b}[0m".to_owned()];
    let verdict = Happening::Gate {
        gate: "api".to_owned(),
        millis: 20,
        failure: Some("exit code 1".to_owned()),
        junit: vec![
            GateReport { name: "junit.xml".to_owned(), xml: WRITTEN.to_owned() },
            GateReport { name: "broken.xml".to_owned(), xml: "<testsuite".to_owned() },
        ],
    };
    let outcome = Outcome::Reverted { failure: cause.clone() };
    daemon.fake.state().script = vec![
        scene(Step::Prepare, Happening::Began),
        scene(Step::Prepare, done("")),
        scene(Step::PreIntegration, Happening::Began),
        scene(Step::PreIntegration, verdict),
        scene(Step::PreIntegration, Happening::Failed { failure: cause }),
        scene(None, Happening::Ended { outcome }),
    ];
    let report = report(&daemon, 11).await;
    let cases = cases(&report);
    for case in [
        "pre-integration/pre-integration: failed, gate `api` failed",
        "pre-integration/api: failed, exit code 1",
        "pre-integration.api.books/lists books: passed",
        "pre-integration.api.books/finds a book: failed, 404 <nil>",
        "switch/switch: skipped, not reached",
        "deployment/reverted: failed, gate `api` failed",
    ] {
        assert!(cases.contains(&case.to_owned()), "{case} in {cases:#?}");
    }
    let broken = cases.iter().find(|case| case.contains("broken.xml")).unwrap();
    assert!(broken.contains("is not JUnit"), "{broken}");
    let suite =
        report.test_suites.iter().find(|suite| suite.name.as_str() == "deployment").unwrap();
    let TestCaseStatus::NonSuccess { description, .. } = &suite.test_cases[0].status else {
        panic!()
    };
    assert_eq!(description.as_ref().unwrap().as_str(), "last <line> & more");
}

#[tokio::test]
async fn a_refusal_and_a_wrong_stack_file_are_reported_too() {
    let daemon = Daemon::start().await;
    daemon.fake.state().refusal = Some(Refusal::new(RefusalKind::Busy, "films is in the way"));
    let cases_of_refusal = cases(&report(&daemon, 30).await);
    assert_eq!(
        cases_of_refusal.last().unwrap(),
        "deployment/no outcome: error, films is in the way"
    );
    let path = daemon.directory.path();
    std::fs::write(path.join("stack.yml"), STACK.replace("8080", "http")).unwrap();
    run(&daemon, &["deploy", "--junit", "wrong.xml"]).await.expect(2);
    let text = std::fs::read_to_string(path.join("wrong.xml")).unwrap();
    assert!(text.contains("`http` is not a port"), "{text}");
}

/// As Jenkins leaves them when a variable is empty: the report of an earlier build must not stay.
#[tokio::test]
async fn arguments_that_make_no_sense_are_reported_too() {
    let daemon = Daemon::start().await;
    let path = daemon.directory.path().join("report.xml");
    for (wrong, words) in [("--sequence", "sequence"), ("--image", "image")] {
        std::fs::write(&path, "of an earlier build").unwrap();
        run(&daemon, &["deploy", wrong, "", "--junit", "report.xml"]).await.expect(2);
        let text = std::fs::read_to_string(&path).unwrap();
        let report = Report::deserialize_from_str(&text).unwrap();
        let last = cases(&report).pop().unwrap();
        assert!(last.starts_with("deployment/no outcome: error, "), "{last}");
        assert!(last.contains(words), "{last}");
    }
    let helped = run(&daemon, &["deploy", "--junit", "none.xml", "--help"]).await;
    assert_eq!((helped.code, helped.err.as_str()), (0, ""));
    assert!(!daemon.directory.path().join("none.xml").exists());
    assert_eq!(daemon.fake.calls(), []);
}

#[tokio::test]
async fn an_earlier_report_is_replaced_whole() {
    let daemon = Daemon::start().await;
    let path = daemon.directory.path().join("report.xml");
    std::fs::write(&path, "old ".repeat(100_000)).unwrap();
    daemon.fake.state().script = samples::success();
    report(&daemon, 0).await;
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_found_before_anything_is_asked_for() {
    let daemon = Daemon::start().await;
    for path in ["no/such/directory/report.xml", "."] {
        let ran = run(&daemon, &["rollback", "books-ms", "--junit", path]).await.expect(2);
        let start = format!("error: cannot write the JUnit file `{path}`: ");
        assert!(ran.err.starts_with(&start), "{}", ran.err);
    }
    assert_eq!(daemon.fake.calls(), []);
}
