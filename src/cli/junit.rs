//! The JUnit report of a deployment: one suite a phase, and what test containers wrote.

mod mend;
mod merge;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};
use tempfile::NamedTempFile;

use super::clean::{clean, indented};
use super::error::CliError;
use super::story::{Chapter, Story, Verdict};
use crate::model::{ExitCode, Failure, Outcome, Step, StepState};

/// A report to be written at the end. The file appears whole or not at all.
pub(super) struct Report {
    path: PathBuf,
    staged: NamedTempFile,
}

impl Report {
    /// Made before anything is asked for, so that a directory that is missing is found in time.
    pub(super) fn prepare(path: &Path) -> Result<Self, CliError> {
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let failed = |source| CliError::Junit { path: path.to_owned(), source };
        if path.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let staged = tempfile::Builder::new()
            .prefix(".verdigris-junit-")
            .permissions(readable_by_all())
            .tempfile_in(directory)
            .map_err(failed)?;
        Ok(Self { path: path.to_owned(), staged })
    }

    /// Write what `story` tells, and the `error` that kept it from being told to its end.
    pub(super) fn write(mut self, story: &Story, error: Option<&CliError>) -> Result<(), CliError> {
        let failed = |path: &Path, source| CliError::Junit { path: path.to_owned(), source };
        let text = document(story, error)
            .to_string()
            .map_err(|error| failed(&self.path, io::Error::other(error)))?;
        self.staged
            .write_all(text.as_bytes())
            .and_then(|()| self.staged.as_file().sync_all())
            .map_err(|source| failed(&self.path, source))?;
        let path = self.path;
        self.staged.persist(&path).map(drop).map_err(|error| failed(&path, error.error))
    }
}

/// A report of nothing but the suites in `xml`, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(super) fn rewritten(xml: &str) -> Result<String, String> {
    let mut document = Document::new("verdigris");
    document.add_test_suites(merge::parse(xml)?);
    document.to_string().map_err(|error| error.to_string())
}

/// A report is made for other programs to read; the umask still has its say.
fn readable_by_all() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(0o644)
}

fn document(story: &Story, error: Option<&CliError>) -> Document {
    let mut document = Document::new("verdigris");
    for step in Step::ALL {
        let chapter = story.chapters.iter().find(|chapter| chapter.step == step);
        document.add_test_suite(suite(step, chapter));
        for verdict in chapter.iter().flat_map(|chapter| &chapter.gates) {
            document.add_test_suites(merge::suites(step, verdict));
        }
    }
    document.add_test_suite(verdict_on_all(story, error));
    document
}

/// The suite of one phase: the step itself, then its gates.
fn suite(step: Step, chapter: Option<&Chapter>) -> TestSuite {
    let mut suite = TestSuite::new(step.as_str());
    let Some(chapter) = chapter else {
        suite.add_test_case(case(step, step.as_str(), skipped("not reached")));
        return suite;
    };
    let took = chapter.took(chapter.ended.unwrap_or_else(Timestamp::now));
    let mut itself = case(step, step.as_str(), status(chapter));
    itself.set_time(took);
    suite.add_test_case(itself);
    suite.add_test_cases(chapter.gates.iter().map(|verdict| gate(step, verdict)));
    suite.set_time(took);
    suite
}

fn status(chapter: &Chapter) -> TestCaseStatus {
    match (chapter.state, &chapter.failure) {
        (_, Some(failure)) => failed(failure),
        (StepState::Skipped, None) => skipped(&chapter.note),
        (StepState::Stopped, None) => skipped("stopped"),
        (StepState::Pending | StepState::Running, None) => skipped("broken off"),
        _ => TestCaseStatus::success(),
    }
}

fn gate(step: Step, verdict: &Verdict) -> TestCase {
    let status = match &verdict.failure {
        Some(why) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_message(&*clean(why)).set_type("gate");
            status
        }
        None if verdict.done => TestCaseStatus::success(),
        None => skipped("broken off"),
    };
    let mut case = case(step, &verdict.gate, status);
    case.set_time(Duration::from_millis(verdict.millis));
    if !verdict.output.is_empty() {
        case.set_system_out(lines(&verdict.output));
    }
    case
}

/// The suite that says how it all ended: what stops a deployment need not belong to a step.
fn verdict_on_all(story: &Story, error: Option<&CliError>) -> TestSuite {
    let verdict = story.verdict();
    let status = match (&verdict, error) {
        (Some(Outcome::Committed | Outcome::Unchanged), _) => TestCaseStatus::success(),
        (Some(Outcome::Reverted { failure }), _) => failed(failure),
        (Some(Outcome::Stuck { problem, .. }), _) => failed(problem),
        (None, Some(error)) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(&*clean(&error.chain())).set_description(lines(error.details()));
            status
        }
        (None, None) => left(story),
    };
    let mut suite = TestSuite::new("deployment");
    let name = verdict.as_ref().map_or("no outcome", Outcome::as_str);
    let mut case = TestCase::new(name, status);
    case.set_classname("verdigris.deployment");
    suite.add_test_case(case);
    suite
}

/// Nothing is wrong with one that was never followed, or had committed; one that was aborted has failed,
/// though its revert is not at its end.
fn left(story: &Story) -> TestCaseStatus {
    match &story.left {
        None => skipped("not followed to its end"),
        Some((ExitCode::Success, words)) => skipped(words),
        Some((code, words)) => failure(*code, words),
    }
}

fn case(step: Step, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(&*clean(name), status);
    case.set_classname(format!("verdigris.{step}"));
    case
}

fn failed(failure: &Failure) -> TestCaseStatus {
    let mut status = self::failure(failure.kind.exit_code(), &failure.message);
    status.set_description(lines(&failure.details));
    status
}

fn failure(code: ExitCode, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_message(&*clean(message)).set_type(format!("exit-{}", code as u8));
    status
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(&*clean(why));
    status
}

fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| indented(line, 2).into_owned()).collect::<Vec<_>>().join("\n")
}
