//! What a stack file becomes.

use std::path::PathBuf;
use std::time::Duration;

use super::{Options, Source, load, load_one};
use crate::model::{Check, Draft, Publish};

fn source(text: &str) -> Source {
    Source { name: "stack.yml".to_owned(), text: text.to_owned(), base: PathBuf::from("/nowhere") }
}

fn options(variables: &[(&str, &str)]) -> Options {
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Options { environment, ..Options::default() }
}

fn draft(text: &str) -> Draft {
    load_one(&source(text), &Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

const EXAMPLE: &str = r#"
services:
  books-ms:
    image: ${REGISTRY:-127.0.0.1:5000}/books-ms:${TAG:-latest}
    environment: { DB_HOST: books-db }
    healthcheck: { test: ["CMD", "/books-ms", "health"], interval: 1s, timeout: 1s, retries: 3 }
    networks: [backend]
    secrets: [db_password]
    deploy:
      replicas: 2
      placement: { constraints: ["node.labels.zone == prod"] }
      resources: { limits: { cpus: "0.5", memory: 128M } }
    x-verdigris:
      port: 8080                       # the container port that serves traffic
      publish: host
      route: { hosts: [books.example.com], path: /api/v1/books, tls: true }
      gates:
        pre_deployment:   [ { container: { image: books-ms-tests, env: { SUITE: unit } }, timeout: 10m } ]
        pre_integration:  [ { http: { path: /health, status: 200, body: '"ok"' } }, { container: { image: books-ms-tests } } ]
        post_integration: [ { http: { path: /api/v1/books, status: 200, max_time: 500ms } } ]
      stable_for: 2s
      drain: 30s
      retain: { releases: 1, scale: 0, for: 1h }
      deadline: 15m
"#;

#[test]
fn the_example_becomes_a_draft() {
    let draft = draft(EXAMPLE);
    assert_eq!(draft.service.as_str(), "books-ms");
    assert_eq!(draft.image.to_string(), "127.0.0.1:5000/books-ms:latest");
    assert_eq!(draft.workload.environment["DB_HOST"], "books-db");
    assert_eq!(draft.workload.replicas, 2);
    assert_eq!(draft.workload.resources.limits.nano_cpus, Some(500_000_000));
    assert_eq!(draft.workload.resources.limits.memory, Some(128 * 1024 * 1024));
    assert_eq!(draft.workload.networks[0].name, "backend");
    assert_eq!(draft.workload.secrets[0].target, "db_password");
    let policy = &draft.policy;
    assert_eq!((policy.port, policy.publish), (8080, Publish::Host));
    let route = policy.route.as_ref().unwrap();
    assert_eq!(
        (route.hosts[0].as_str(), route.path.as_str()),
        ("books.example.com", "/api/v1/books")
    );
    assert_eq!(policy.gates.pre_deployment[0].timeout, Duration::from_secs(600));
    assert_eq!(policy.gates.pre_integration[1].name, "container-1");
    let Check::Http(http) = &policy.gates.pre_integration[0].check else { panic!() };
    assert_eq!(http.body.as_deref(), Some("\"ok\""));
    assert_eq!(policy.retain.scale, Some(0));
}

#[test]
fn variables_replace_parts_of_values() {
    let options = options(&[("TAG", "2.0"), ("REGISTRY", "images.example.com")]);
    let drafts = load(&source(EXAMPLE), &options).unwrap();
    assert_eq!(drafts[0].image.to_string(), "images.example.com/books-ms:2.0");
}

#[test]
fn every_key_arrives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/malformed/valid/everything.yml");
    let source = Source::read(path.as_ref()).unwrap();
    let draft = load_one(&source, &options(&[("TAG", "1.0")])).unwrap_or_else(|e| panic!("{e}"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&draft).unwrap());
}
