//! Suites from the JUnit files that test containers wrote.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::mend::mend;
use crate::cli::clean::clean;
use crate::cli::story::Verdict;
use crate::model::{GateReport, Step};

/// The suites in what `verdict`'s gate wrote, named after step and gate.
pub(super) fn suites(step: Step, verdict: &Verdict) -> Vec<TestSuite> {
    let prefix = format!("{step}.{}", clean(&verdict.gate));
    verdict.reports.iter().flat_map(|report| read(&prefix, report)).collect()
}

fn read(prefix: &str, report: &GateReport) -> Vec<TestSuite> {
    match parse(&report.xml) {
        Ok(suites) => suites
            .into_iter()
            .map(|mut suite| {
                suite.name = format!("{prefix}.{}", suite.name.as_str()).into();
                count(&mut suite);
                suite
            })
            .collect(),
        Err(why) => vec![unreadable(prefix, report, &why)],
    }
}

/// Suites that hold nothing but other suites are left out, unless nothing else is there.
pub(super) fn parse(xml: &str) -> Result<Vec<TestSuite>, String> {
    let report = Report::deserialize_from_str(&mend(xml)?).map_err(|error| error.to_string())?;
    let mut suites = report.test_suites;
    if suites.iter().any(|suite| !suite.test_cases.is_empty()) {
        suites.retain(|suite| !suite.test_cases.is_empty());
    } else {
        suites.truncate(1);
    }
    Ok(suites)
}

/// The counts that tools write cannot be relied on.
fn count(suite: &mut TestSuite) {
    let of = |wanted: fn(&TestCaseStatus) -> bool| {
        suite.test_cases.iter().filter(|case| wanted(&case.status)).count()
    };
    let failed = |kind: NonSuccessKind| {
        let is = move |status: &TestCaseStatus| matches!(status, TestCaseStatus::NonSuccess { kind: found, .. } if *found == kind);
        suite.test_cases.iter().filter(|case| is(&case.status)).count()
    };
    (suite.tests, suite.skipped, suite.failures, suite.errors) = (
        suite.test_cases.len(),
        of(|status| matches!(status, TestCaseStatus::Skipped { .. })),
        failed(NonSuccessKind::Failure),
        failed(NonSuccessKind::Error),
    );
}

/// A report that nobody can read does not change the gate's verdict, but is not hidden either.
fn unreadable(prefix: &str, report: &GateReport, why: &str) -> TestSuite {
    let mut status = TestCaseStatus::skipped();
    status.set_message(&*clean(&format!("this file of the gate is not JUnit: {why}")));
    let mut suite = TestSuite::new(prefix);
    suite.add_test_case(TestCase::new(&*clean(&report.name), status));
    suite
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn suites_in(xml: &str) -> Vec<TestSuite> {
        let verdict = Verdict {
            gate: "unit".to_owned(),
            reports: vec![GateReport { name: "junit.xml".to_owned(), xml: xml.to_owned() }],
            ..Verdict::default()
        };
        suites(Step::PreDeployment, &verdict)
    }

    fn names(xml: &str) -> Vec<String> {
        let suites = suites_in(xml);
        let cases = suites.iter().flat_map(|suite| {
            suite
                .test_cases
                .iter()
                .map(|case| format!("{}/{}", suite.name.as_str(), case.name.as_str()))
        });
        cases.collect()
    }

    const SUITE: &str = r#"<testsuite name="s" tests="1" errors="" failures="x" skipped="0"
        timestamp="2026-01-01T00:00:00.123" hostname="h" time="1,000.5"><properties/>
        <testcase classname="c" name="t &lt;1&gt;" time=""/></testsuite>"#;

    #[test]
    fn a_lone_suite_and_a_whole_report_are_read() {
        let head = r#"<?xml version="1.0" encoding="utf-8"?><!-- written by hand -->"#;
        assert_eq!(names(&format!("{head}{SUITE}")), ["pre-deployment.unit.s/t <1>"]);
        let twice = names(&format!("{head}<testsuites time=\"x\">{SUITE}{SUITE}</testsuites>"));
        assert_eq!(twice, ["pre-deployment.unit.s/t <1>", "pre-deployment.unit.s/t <1>"]);
        let suite = suites_in(SUITE).remove(0);
        assert_eq!(suite.time.unwrap().as_millis(), 1_000_500);
        assert!(suite.timestamp.unwrap().to_rfc3339().starts_with("2026-01-01T00:00:00"));
    }

    #[test]
    fn suites_within_suites_become_suites_beside_each_other() {
        let xml = r#"<testsuite name="outer"><testcase name="a"/>
            <testsuite name="inner"><testcase name="b"><failure>x</failure></testcase></testsuite>
            <testcase/></testsuite>"#;
        let expected = [
            "pre-deployment.unit.outer/a",
            "pre-deployment.unit.inner/b",
            "pre-deployment.unit.outer/unnamed",
        ];
        assert_eq!(names(xml), expected);
        assert_eq!(suites_in(xml)[1].failures, 1, "counted, whatever the tool wrote");
        assert_eq!(suites_in(r#"<testsuite name="none"/>"#).len(), 1);
    }

    #[test]
    fn what_is_not_junit_is_told() {
        for xml in
            ["", "not xml", "<html></html>", "<testsuite", "<testsuite><testcase>", "<a></b>"]
        {
            assert_eq!(names(xml), ["pre-deployment.unit/junit.xml"], "{xml}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_or_told(at in 0..200_usize, text in ".{0,20}") {
            let mut xml = SUITE.to_owned();
            let at = at.min(xml.len());
            xml.insert_str(at, &text);
            prop_assert!(!suites_in(&xml).is_empty());
            prop_assert!(!suites_in(&text).is_empty());
        }
    }
}
