//! The outcome for people, and for machines as `JUnit`.

use std::path::Path;

use anyhow::Context;
use books_ms::say;
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::case::Case;
use crate::mode::TestType;

/// One line per test, and a sum.
pub fn print(cases: &[Case]) {
    for case in cases {
        let took = case.took.as_millis();
        match &case.failure {
            None => say(format_args!("ok      {} ({took} ms)", case.name)),
            Some(failure) => say(format_args!("FAILED  {} ({took} ms): {failure}", case.name)),
        }
    }
    let failed = cases.iter().filter(|case| !case.passed()).count();
    say(format_args!("{} tests, {failed} failed", cases.len()));
}

/// Writes `books-ms-tests-<type>.xml` into the directory, making it if need be.
pub fn write_junit(directory: &Path, kind: TestType, cases: &[Case]) -> anyhow::Result<()> {
    let mut suite = TestSuite::new(kind.to_string());
    suite.add_test_cases(cases.iter().map(test_case));
    let mut report = Report::new("books-ms-tests");
    report.add_test_suite(suite);
    let file = directory.join(format!("books-ms-tests-{kind}.xml"));
    let text = report.to_string().context("cannot write JUnit")?;
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make `{}`", directory.display()))?;
    std::fs::write(&file, text).with_context(|| format!("cannot write `{}`", file.display()))?;
    say(format_args!("wrote {}", file.display()));
    Ok(())
}

fn test_case(case: &Case) -> TestCase {
    let status = match &case.failure {
        None => TestCaseStatus::success(),
        Some(failure) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(failure.as_str());
            status
        }
    };
    let mut test_case = TestCase::new(case.name.as_str(), status);
    test_case.set_time(case.took);
    test_case.set_classname("books-ms");
    test_case
}
