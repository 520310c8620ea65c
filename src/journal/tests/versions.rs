//! Journals of every version that was ever written are read.
//!
//! `v1.sql` and `v2.sql` are databases of each format, with a deployment that has records of all kinds.
//! Before the first release, when the model changes, the newest is written anew:
//! `cargo test --lib journal::tests::versions::write -- --ignored`. After it, never again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use super::*;
use crate::deploy::ports::{Past, SwarmSnapshot, Tenure};
use crate::deploy::record::{Before, Prepared, StepResult};
use crate::deploy::saga::{Decision, State};
use crate::deploy::summary;
use crate::model::{
    Backend, Colour, Instance, Registration, Route, ServiceRecord, ServiceView, Standing,
};
use crate::stack::{self, Options, Source};

const V1: &str = include_str!("v1.sql");
const V2: &str = include_str!("v2.sql");

#[rstest::rstest]
#[case(V1, "version 1")]
#[case(V2, "version 2")]
#[tokio::test]
async fn every_version_is_read_whole(#[case] version: &str, #[case] made_by: &str) {
    let directory = tempfile::tempdir().unwrap();
    let hand = Connection::open(directory.path().join("verdigris.db")).unwrap();
    hand.execute_batch(version).unwrap();
    let bodies: Vec<String> = hand
        .prepare(
            "SELECT body FROM records WHERE deployment = (SELECT max(id) FROM deployments)
             ORDER BY seq",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    drop(hand);

    let store = open(directory.path()).await;
    let id = store.recent(None, 2).await.unwrap()[0];
    let read = records(&store, id).await;
    assert_eq!(store.problems().await, Vec::<String>::new());
    assert_eq!(read.len(), bodies.len());
    for (record, body) in read.iter().zip(&bodies) {
        let was: Value = serde_json::from_str(body).unwrap();
        let now = serde_json::to_value(record).unwrap();
        assert!(holds(&now, &was), "something of\n{was}\nis lost in\n{now}");
    }
    assert_eq!(store.meta("made-by").await.unwrap().as_deref(), Some(made_by));
    let highest = store.sequence(&name("books-ms")).await.unwrap();
    assert_eq!(highest, Some(41));
}

/// Whether it has no summaries, or some of a form that is not used any more.
#[rstest::rstest]
#[case(V1)]
#[case(V2)]
#[tokio::test]
async fn the_past_of_every_version_is_listed(#[case] version: &str) {
    let directory = tempfile::tempdir().unwrap();
    let hand = Connection::open(directory.path().join("verdigris.db")).unwrap();
    hand.execute_batch(version).unwrap();
    drop(hand);
    let store = open(directory.path()).await;
    let kept = store.summaries(Past::All, 9).await.unwrap();
    assert!(kept.iter().all(|(_, summary)| summary.is_none()), "{kept:?}");
    // With what a real deployment leaves.
    let id = DeploymentId::after(kept.first().map(|(id, _)| *id));
    store.append(id, &[opened("books-ms"), super::ended("committed")]).await.unwrap();
    let service = name("books-ms");
    for _ in 0..2 {
        let committed = summary::summaries(&store, Past::Committed(&service), 1).await.unwrap();
        assert_eq!(committed[0].id, id);
    }
}

/// A deployment that the first version was killed in, right after the switch: in the order of a real
/// one, with the fields that records had then.
#[tokio::test]
async fn what_version_1_left_unfinished_is_taken_up() {
    let directory = tempfile::tempdir().unwrap();
    let hand = Connection::open(directory.path().join("verdigris.db")).unwrap();
    hand.execute_batch(include_str!("v1-unfinished.sql")).unwrap();
    drop(hand);

    let store = open(directory.path()).await;
    let id = store.unfinished().await.unwrap()[0];
    let mut state = State::replay(&Journal::read(&store, id).await.unwrap()).unwrap();
    assert_eq!(store.problems().await, Vec::<String>::new());
    let none = BTreeSet::new();
    assert_eq!(state.decide(&none), Decision::Act(vec![Step::PostIntegration]));
    assert_eq!(state.instances().len(), 1);
    let prepared = state.prepared().unwrap();
    assert_eq!((prepared.live, prepared.tenure), (Some(Colour::Blue), Tenure::default()));

    // It can be gone on with, and be undone.
    let failure = Failure { step: Step::PostIntegration, ..failure() };
    store.append(id, &[Record::Failed { failure: failure.clone() }]).await.unwrap();
    state.apply(&Record::Failed { failure }).unwrap();
    let replayed = State::replay(&Journal::read(&store, id).await.unwrap()).unwrap();
    assert_eq!(replayed.decide(&none), Decision::Undo(Step::Switch));
    let undone = [Step::Switch, Step::Stage, Step::Register, Step::Start];
    assert_eq!(replayed.left()[..4], undone);
    assert_eq!(replayed.left(), state.left());
}

/// All that is in `was` is in `now`, which may have more.
fn holds(now: &Value, was: &Value) -> bool {
    match (now, was) {
        (Value::Object(now), Value::Object(was)) => {
            was.iter().all(|(key, was)| now.get(key).is_some_and(|now| holds(now, was)))
        }
        (now, was) => now == was,
    }
}

#[test]
fn every_kind_of_record_is_in_it() {
    let kinds = [
        "opened", "began", "done", "failed", "stopped", "undoing", "undone", "stuck", "retried",
        "approved", "ended",
    ];
    let results = ["nothing", "unchanged", "prepared", "running", "skipped", "switched"];
    for version in [V1, V2] {
        for kind in kinds {
            assert!(version.contains(&format!("{{\"record\":\"{kind}\"")), "{kind}");
        }
        for result in results {
            assert!(version.contains(&format!("{{\"result\":\"{result}\"")), "{result}");
        }
    }
    assert!(V2.contains("{\"record\":\"taken-over\""));
    for record in all() {
        known(&record);
    }
}

/// Fails to compile when a kind is added: put it into `all` then.
fn known(record: &Record) {
    match record {
        Record::Opened { .. }
        | Record::Began { .. }
        | Record::Done { .. }
        | Record::Failed { .. }
        | Record::Stopped { .. }
        | Record::TakenOver { .. }
        // Is never written.
        | Record::Unreadable { .. }
        | Record::Undoing { .. }
        | Record::Undone { .. }
        | Record::Stuck { .. }
        | Record::Retried { .. }
        | Record::Approved { .. }
        | Record::Ended { .. } => {}
    }
}

const STACK: &str = r#"
services:
  books-ms:
    image: 127.0.0.1:5000/books-ms:1.0
    command: ["serve"]
    environment: { DB_HOST: books-db }
    healthcheck: { test: ["CMD", "/books-ms", "health"], interval: 1s, timeout: 1s, retries: 3 }
    networks: [backend]
    secrets: [db_password]
    deploy:
      replicas: 2
      placement: { constraints: ["node.labels.zone == prod"] }
      resources: { limits: { cpus: "0.5", memory: 128M } }
    x-verdigris:
      port: 8080
      publish: host
      route: { hosts: [books.example.com], path: /api/v1/books, tls: true }
      gates:
        pre_deployment: [ { container: { image: books-ms-tests, env: { SUITE: unit } }, timeout: 10m } ]
        pre_integration: [ { http: { path: /health, status: 200, body: ok } } ]
        post_integration: [ { command: { argv: [smoke, "--all"] } } ]
      stable_for: 2s
      drain: 30s
      retain: { releases: 1, scale: 0, for: 1h }
      deadline: 15m
networks: { backend: { external: true } }
secrets: { db_password: { external: true } }
"#;

/// A record of every kind, as they follow each other in no real deployment.
fn all() -> Vec<Record> {
    let source = Source { name: "v1".to_owned(), text: STACK.to_owned(), base: PathBuf::new() };
    let draft = stack::load_one(&source, &Options::default()).unwrap();
    let image = draft.image.pin(&format!("sha256:{}", "ab".repeat(32)));
    let Record::Opened { mut request } = opened("books-ms") else { unreachable!() };
    request.kind = Kind::Deploy { draft: draft.clone() };
    request.deadline = Some(Duration::from_secs(600));
    let done = |step, result| Record::Done { step, result: Box::new(result) };
    let why = "nothing to test".to_owned();
    let prepared = prepared(draft.pin(image));
    let instances = prepared.before.registry.instances.values();
    let instances = instances.map(|entry| entry.instance.clone()).collect();
    let by = "operator".to_owned();
    vec![
        Record::Opened { request },
        Record::Began { step: Step::Prepare },
        done(Step::Prepare, StepResult::Prepared(prepared)),
        done(Step::Prepare, StepResult::Unchanged),
        done(Step::PreDeployment, StepResult::Skipped { why }),
        done(Step::Start, StepResult::Nothing),
        done(Step::Await, StepResult::Running { instances }),
        Record::Approved { by: by.clone() },
        done(Step::Switch, StepResult::Switched { micros: 1234, moved: None }),
        Record::Failed { failure: failure() },
        Record::Stopped { failure: failure() },
        Record::TakenOver { failure: failure() },
        Record::Undoing { step: Step::Start },
        Record::Undone { step: Step::Start },
        Record::Stuck { problem: failure() },
        Record::Retried { by },
        ended("reverted"),
    ]
}

fn prepared(release: crate::model::Release) -> Prepared {
    let address = "10.0.0.7:32768".parse().unwrap();
    let task = "t1".to_owned();
    let registration = Registration {
        instance: Instance { task: task.clone(), node: "n1".to_owned(), address },
        colour: Colour::Blue,
        standing: Standing::Live,
        release: release.id.clone(),
        image: release.image.reference(),
    };
    let rule = release.policy.route.clone().unwrap();
    let view = ServiceView {
        service: release.service.clone(),
        rule: rule.clone(),
        live: Some(Colour::Blue),
        generation: 3,
        backends: BTreeMap::from([(Colour::Blue, vec![Backend { task: task.clone(), address }])]),
    };
    let route = Route {
        gives_up: None,
        generation: 3,
        rule: Some(rule),
        weights: BTreeMap::from([(Colour::Blue, 100), (Colour::Green, 0)]),
        releases: BTreeMap::from([(Colour::Blue, release.id.to_string())]),
    };
    let spec =
        serde_json::json!({ "Name": "books-ms-blue", "Mode": { "Replicated": { "Replicas": 2 } } });
    let snapshot = SwarmSnapshot { name: "books-ms-blue".to_owned(), spec };
    Prepared {
        colour: Colour::Green,
        live: Some(Colour::Blue),
        running: false,
        instances: Vec::new(),
        in_place: false,
        before: Before {
            swarm: BTreeMap::from([(Colour::Blue, Some(snapshot)), (Colour::Green, None)]),
            registry: ServiceRecord {
                instances: BTreeMap::from([(task, registration)]),
                colour: Some(Colour::Blue),
                route: Some(route),
            },
            proxies: BTreeMap::from([("edge".to_owned(), Some(view)), ("other".to_owned(), None)]),
        },
        tenure: Tenure::default(),
        release,
    }
}

#[tokio::test]
#[ignore = "writes the fixture anew"]
async fn write() {
    let (directory, store) = fresh().await;
    store.append(DeploymentId::new(), &[sequenced("books-ms", Some(41))]).await.unwrap();
    let id = DeploymentId::new();
    store.append(id, &[opened("books-ms"), ended("reverted")]).await.unwrap();
    summary::summaries(&store, Past::All, 1).await.unwrap();
    let id = DeploymentId::new();
    for record in all() {
        store.append(id, &[record]).await.unwrap();
    }
    store.set_meta("made-by", "version 2").await.unwrap();
    drop(store);
    let database = Connection::open(directory.path().join("verdigris.db")).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/journal/tests/v2.sql");
    std::fs::write(path, dump(&database)).unwrap();
}

/// The statements that make the same database.
fn dump(database: &Connection) -> String {
    let mut text = String::from("PRAGMA user_version = 2;\n");
    let strings = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    for sql in strings("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL") {
        writeln!(text, "{sql};").unwrap();
    }
    for table in ["deployments", "records", "sequences", "meta", "summaries"] {
        let list = format!(
            "SELECT group_concat('quote(' || name || ')', ' || '','' || ') FROM pragma_table_info('{table}')"
        );
        let columns = &strings(&list)[0];
        for row in strings(&format!("SELECT {columns} FROM {table} ORDER BY 1")) {
            writeln!(text, "INSERT INTO {table} VALUES ({row});").unwrap();
        }
    }
    text
}
