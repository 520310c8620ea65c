//! Each way of being broken.

use crate::process::{Service, books_ms, until};

fn broken(fault: &str) -> Service {
    Service::start(&[("BOOKS_FAULT", fault)])
}

const DIRECT: &str = "";
const PROXIED: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n";
const PROXIED_TLS: &str = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n";

fn statuses(service: &Service) -> [u16; 3] {
    [DIRECT, PROXIED, PROXIED_TLS].map(|headers| service.get_with("/api/v1/books", headers).status)
}

#[test]
fn a_sound_release_answers_everybody() {
    assert_eq!(statuses(&broken("")), [200, 200, 200]);
}

#[test]
fn exit_at_start() {
    let output = books_ms(&[("BOOKS_FAULT", "exit-at-start")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("catalogue"), "{output:?}");
}

#[test]
fn an_unknown_fault_ends_it_too() {
    let output = books_ms(&[("BOOKS_FAULT", "explode")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("`explode`"), "{output:?}");
}

#[test]
fn exit_after() {
    let mut service = broken("exit-after=0.3");
    assert_eq!(service.status("/health"), 200);
    assert_eq!(service.exit().code(), Some(1));
}

#[test]
fn never_healthy() {
    let service = broken("never-healthy");
    assert_eq!(service.status("/health"), 503);
    assert_eq!(service.status("/api/v1/books"), 200);
}

#[test]
fn healthy_late() {
    let service = broken("healthy-late=0.5");
    assert_eq!(service.status("/health"), 503);
    until(|| (service.status("/health") == 200).then_some(()));
}

#[test]
fn unhealthy_after() {
    let service = broken("unhealthy-after=0.5");
    assert_eq!(service.status("/health"), 200);
    until(|| (service.status("/health") == 503).then_some(()));
}

#[test]
fn wrong_answers() {
    let answer = broken("wrong-answers").get("/api/v1/books");
    assert_eq!(answer.status, 200);
    assert!(!answer.text.contains("Emma"), "{answer:?}");
}

#[test]
fn right_only_direct() {
    assert_eq!(statuses(&broken("right-only-direct")), [200, 500, 500]);
}

#[test]
fn http_only() {
    assert_eq!(statuses(&broken("http-only")), [200, 200, 500]);
}

#[test]
fn errors_after() {
    let service = broken("errors-after=0.5");
    assert_eq!(service.status("/api/v1/books"), 200);
    until(|| (service.status("/api/v1/books") == 500).then_some(()));
    assert_eq!(service.status("/health"), 200, "the health check does not see it");
}

#[test]
fn errors_after_requests() {
    let service = broken("errors-after-requests=2");
    let answers = [0; 4].map(|_| service.status("/api/v1/books"));
    assert_eq!(answers, [200, 200, 500, 500]);
}

#[test]
fn errors_ratio() {
    let service = broken("errors-ratio=0.5");
    let answers = [0; 4].map(|_| service.status("/api/v1/books"));
    assert_eq!(answers, [200, 500, 200, 500]);
}
