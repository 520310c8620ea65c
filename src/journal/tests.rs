mod crash;
mod keeping;
mod reading;
mod state;
mod summaries;
mod versions;

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::deploy::ports::Journal;
use crate::deploy::record::Record;
use crate::model::{
    DeploymentId, Failure, FailureKind, Kind, OnBusy, OnDisconnect, Outcome, Request, ServiceName,
    Step,
};

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

/// Asked for by somebody: the shortest request there is.
fn opened(service: &str) -> Record {
    sequenced(service, Some(7))
}

fn sequenced(service: &str, sequence: Option<u64>) -> Record {
    let kind = Kind::Rollback { service: name(service), release: None };
    Record::Opened {
        request: Box::new(Request {
            kind,
            sequence,
            on_busy: OnBusy::Wait,
            on_disconnect: OnDisconnect::Revert,
            deadline: None,
            force: false,
            by: "tester".to_owned(),
        }),
    }
}

fn failure() -> Failure {
    Failure {
        step: Step::Start,
        kind: FailureKind::Start,
        message: "no such image".to_owned(),
        details: vec![],
        remedy: None,
    }
}

fn ended(end: &str) -> Record {
    let outcome = match end {
        "committed" => Outcome::Committed,
        "unchanged" => Outcome::Unchanged,
        "reverted" => Outcome::Reverted { failure: failure() },
        "stuck" => Outcome::Stuck { failure: None, problem: failure() },
        other => panic!("{other}"),
    };
    Record::Ended { outcome }
}

/// Deployments in the order of their ids.
fn ids(count: usize) -> Vec<DeploymentId> {
    (0..count).map(|_| DeploymentId::new()).collect()
}

async fn open(directory: &Path) -> Store {
    open_with(directory, Retention::default()).await
}

async fn open_with(directory: &Path, retention: Retention) -> Store {
    let state = StateDir::lock(directory).unwrap();
    Store::open(&state, retention).await.unwrap()
}

async fn fresh() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    (directory, store)
}

async fn records(store: &Store, id: DeploymentId) -> Vec<Record> {
    let records = Journal::read(store, id).await.unwrap();
    records.into_iter().map(|entry| entry.record).collect()
}
