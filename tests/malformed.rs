//! Every malformed stack file and configuration of the corpus is refused with exactly the problems
//! that it has, each with its line, its key and the words that matter; every valid one is taken.
//!
//! `NAME.expect` beside a malformed file holds a line `LINE | KEY | PHRASE` for each problem, in the
//! order in which they are reported. What is not listed must not be reported.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use verdigris::config;
use verdigris::stack::{self, LoadError, Options, Problem, Problems, Source};

/// What the corpus finds in its environment.
const VARIABLES: [(&str, &str); 4] = [
    ("TAG", "1.0"),
    ("EMPTY", ""),
    ("WORDS", "three small words"),
    ("HOSTILE", "1.0\n    privileged: true # \" ' {"),
];

fn corpus(kind: &str, extension: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed").join(kind);
    let entries = std::fs::read_dir(&directory).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    assert!(!files.is_empty(), "no files in {}", directory.display());
    files
}

fn load_stack(path: &Path) -> Result<(), Problems> {
    let options = Options {
        environment: VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Options::default()
    };
    let loaded = Source::read(path).and_then(|source| stack::load(&source, &options));
    match loaded {
        Ok(drafts) => {
            assert!(!drafts.is_empty());
            Ok(())
        }
        Err(LoadError::Invalid(problems)) => Err(problems),
        Err(error) => panic!("{}: {error}", path.display()),
    }
}

fn load_config(path: &Path) -> Result<(), Problems> {
    let text = std::fs::read_to_string(path).unwrap();
    config::parse(path, &text, BTreeMap::new()).map(|_| ())
}

/// One expected problem.
fn expectation(line: &str) -> (u32, &str, &str) {
    let mut parts = line.splitn(3, " | ");
    let mut part = || parts.next().unwrap_or_else(|| panic!("`{line}` is no expectation")).trim();
    (part().parse().unwrap(), part(), part())
}

fn matches(problem: &Problem, (line, key, phrase): (u32, &str, &str)) -> bool {
    problem.place.line == line && &*problem.place.key == key && problem.to_string().contains(phrase)
}

fn check(path: &Path, loaded: Result<(), Problems>, failures: &mut Vec<String>) {
    let name = path.display();
    let Err(problems) = loaded else {
        return failures.push(format!("{name}: taken, but should be refused"));
    };
    let expected = std::fs::read_to_string(path.with_extension("expect")).unwrap_or_default();
    let expected: Vec<_> = expected.lines().map(expectation).collect();
    let found: Vec<_> = problems.iter().collect();
    let all = expected.len() == found.len()
        && expected.iter().zip(&found).all(|(expected, found)| matches(found, *expected));
    if !all {
        failures.push(format!("{name}: expected {expected:#?}\nfound\n{problems}\n"));
    }
    for problem in found {
        let text = problem.to_string();
        if problem.what.is_empty() || problem.remedy.is_empty() || text.contains('\n') {
            failures.push(format!("{name}: without what, remedy or in several lines: {text}"));
        }
        if !text.starts_with(&format!("{name}:")) && !text.contains(".env:") {
            failures.push(format!("{name}: does not begin with the file: {text}"));
        }
    }
}

fn refuse_all(kind: &str, extension: &str, load: fn(&Path) -> Result<(), Problems>) {
    let mut failures = Vec::new();
    for path in corpus(kind, extension) {
        check(&path, load(&path), &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn take_all(kind: &str, extension: &str, load: fn(&Path) -> Result<(), Problems>) {
    for path in corpus(kind, extension) {
        load(&path).unwrap_or_else(|problems| panic!("{}:\n{problems}", path.display()));
    }
}

#[test]
fn malformed_stack_files_are_refused() {
    refuse_all("stack", "yml", load_stack);
}

#[test]
fn malformed_configurations_are_refused() {
    refuse_all("config", "toml", load_config);
}

#[test]
fn valid_stack_files_are_taken() {
    take_all("valid", "yml", load_stack);
}

#[test]
fn valid_configurations_are_taken() {
    take_all("valid", "toml", load_config);
}

#[test]
fn the_corpus_is_large() {
    let malformed = corpus("stack", "yml").len() + corpus("config", "toml").len();
    assert!(malformed >= 60, "only {malformed}");
}
