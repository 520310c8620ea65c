//! Suites from the JUnit files that test containers wrote.

use quick_junit::{Report, TestCase, TestCaseStatus, TestSuite};

use crate::cli::story::Verdict;
use crate::model::{GateReport, Step};

/// The suites in what `verdict`'s gate wrote, named after step and gate.
pub(super) fn suites(step: Step, verdict: &Verdict) -> Vec<TestSuite> {
    let prefix = format!("{step}.{}", verdict.gate);
    verdict.reports.iter().flat_map(|report| read(&prefix, report)).collect()
}

fn read(prefix: &str, report: &GateReport) -> Vec<TestSuite> {
    match parse(&report.xml) {
        Ok(document) => {
            let mut suites = document.test_suites;
            for suite in &mut suites {
                suite.name = format!("{prefix}.{}", suite.name.as_str()).into();
            }
            suites
        }
        Err(why) => vec![unreadable(prefix, report, &why)],
    }
}

/// Many tools write a lone `<testsuite>`; the schema wants it within `<testsuites>`.
fn parse(xml: &str) -> Result<Report, String> {
    let first = match Report::deserialize_from_str(xml) {
        Ok(report) => return Ok(report),
        Err(error) => error,
    };
    let start = xml.find("<testsuite").filter(|at| !xml[*at..].starts_with("<testsuites"));
    let wrapped = start.map(|at| format!("<testsuites>{}</testsuites>", &xml[at..]));
    let second = wrapped.and_then(|wrapped| Report::deserialize_from_str(&wrapped).ok());
    second.ok_or_else(|| first.to_string())
}

/// A report that nobody can read does not change the gate's verdict, but is not hidden either.
fn unreadable(prefix: &str, report: &GateReport, why: &str) -> TestSuite {
    let mut status = TestCaseStatus::skipped();
    status.set_message(format!("this file of the gate is not JUnit: {why}"));
    let mut suite = TestSuite::new(prefix);
    suite.add_test_case(TestCase::new(report.name.as_str(), status));
    suite
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(xml: &str) -> Vec<String> {
        let verdict = Verdict {
            gate: "unit".to_owned(),
            reports: vec![GateReport { name: "junit.xml".to_owned(), xml: xml.to_owned() }],
            ..Verdict::default()
        };
        suites(Step::PreDeployment, &verdict)
            .into_iter()
            .flat_map(|suite| {
                suite
                    .test_cases
                    .iter()
                    .map(|case| format!("{}/{}", suite.name.as_str(), case.name.as_str()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    const SUITE: &str = r#"<testsuite name="s" tests="1" errors="0" failures="0" skipped="0"
        timestamp="2026-01-01T00:00:00" hostname="h" time="0.1"><properties/>
        <testcase classname="c" name="t" time="0.1"/></testsuite>"#;

    #[test]
    fn a_lone_suite_and_a_whole_report_are_read() {
        let head = r#"<?xml version="1.0" encoding="utf-8"?>"#;
        assert_eq!(names(&format!("{head}{SUITE}")), ["pre-deployment.unit.s/t"]);
        assert_eq!(
            names(&format!("{head}<testsuites>{SUITE}{SUITE}</testsuites>")),
            ["pre-deployment.unit.s/t", "pre-deployment.unit.s/t"]
        );
    }

    #[test]
    fn what_is_not_junit_is_told() {
        assert_eq!(names("not xml"), ["pre-deployment.unit/junit.xml"]);
        assert_eq!(names("<html></html>"), ["pre-deployment.unit/junit.xml"]);
    }
}
