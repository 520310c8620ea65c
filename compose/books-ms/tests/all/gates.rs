//! The test image's program, at each gate.

use std::process::Output;

use crate::process::{Service, books_ms_tests};

const PRE_INTEGRATION: (&str, &str) = ("TEST_TYPE", "pre-integration");

fn tests_of(service: &Service, more: &[(&str, &str)]) -> Output {
    let address = service.address.to_string();
    let mut environment = vec![PRE_INTEGRATION, ("TEST_ADDRESSES", address.as_str())];
    environment.extend(more);
    books_ms_tests(&environment)
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_sound_release_passes_every_gate() {
    let service = Service::start(&[]);
    let address = service.address.to_string();
    assert_eq!(code(&books_ms_tests(&[("TEST_TYPE", "pre-deployment")])), 0);
    let who = [("TEST_COLOUR", "green"), ("TEST_RELEASE", "r7")];
    let output = tests_of(&service, &who);
    assert_eq!(code(&output), 0, "{output:?}");
    let post = [("TEST_TYPE", "post-integration"), ("TEST_HTTP", address.as_str())];
    let output = books_ms_tests(&[post.as_slice(), &who].concat());
    assert_eq!(code(&output), 0, "{output:?}");
}

#[test]
fn a_broken_release_fails() {
    for fault in ["wrong-answers", "errors-after=0", "never-healthy"] {
        let service = Service::start(&[("BOOKS_FAULT", fault)]);
        let output = tests_of(&service, &[]);
        assert_eq!(code(&output), 1, "{fault}: {output:?}");
        assert!(printed(&output).contains("FAILED"), "{fault}: {output:?}");
    }
}

#[test]
fn the_wrong_colour_or_release_fails() {
    let service = Service::start(&[]);
    let output = tests_of(&service, &[("TEST_COLOUR", "blue")]);
    assert_eq!(code(&output), 1);
    assert!(printed(&output).contains("colour `green` answered, not `blue`"), "{output:?}");
    assert_eq!(code(&tests_of(&service, &[("TEST_RELEASE", "r8")])), 1);
}

#[test]
fn nothing_to_test_is_no_success() {
    assert_eq!(code(&books_ms_tests(&[PRE_INTEGRATION])), 1);
    assert_eq!(code(&books_ms_tests(&[("TEST_TYPE", "post-integration")])), 1);
}

#[test]
fn nobody_there_fails() {
    let address = Service::start(&[]).address.to_string();
    let output = books_ms_tests(&[PRE_INTEGRATION, ("TEST_ADDRESSES", &address)]);
    assert_eq!(code(&output), 1);
    assert!(printed(&output).contains("cannot connect"), "{output:?}");
}

#[test]
fn nonsense_is_refused() {
    for environment in [
        &[][..],
        &[("TEST_TYPE", "lunch")],
        &[PRE_INTEGRATION, ("TEST_ADDRESSES", "books")],
        &[PRE_INTEGRATION, ("TESTS_MODE", "explode")],
    ] {
        let output = books_ms_tests(environment);
        assert_eq!(code(&output), 2, "{environment:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("`TEST"), "{output:?}");
    }
}

#[test]
fn it_fails_and_writes_junit_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let junit = directory.path().join("junit");
    let output = books_ms_tests(&[
        ("TEST_TYPE", "pre-deployment"),
        ("TESTS_MODE", "junit,fail-on=pre-deployment"),
        ("JUNIT_DIR", junit.to_str().unwrap()),
    ]);
    assert_eq!(code(&output), 1, "{output:?}");
    let text = std::fs::read_to_string(junit.join("books-ms-tests-pre-deployment.xml")).unwrap();
    assert!(text.contains(r#"tests="3""#) && text.contains(r#"failures="1""#), "{text}");
    let elsewhere = [("TEST_TYPE", "pre-deployment"), ("TESTS_MODE", "fail-on=post-integration")];
    assert_eq!(code(&books_ms_tests(&elsewhere)), 0);
}

#[test]
fn it_hangs_when_told() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_books-ms-tests"))
        .env("TEST_TYPE", "pre-deployment")
        .env("TESTS_MODE", "hang-on=pre-deployment")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    assert!(lines.any(|line| line.unwrap().contains("hanging")));
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}
