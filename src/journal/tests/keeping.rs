//! What is remembered between deployments, and what is forgotten in time.

use jiff::Timestamp;

use super::*;
use crate::model::{Event, Happening};

#[tokio::test]
async fn a_sequence_only_grows() {
    let (directory, store) = fresh().await;
    let service = name("books-ms");
    assert_eq!(store.sequence(&service).await.unwrap(), None);
    let mut highest = Vec::new();
    for sequence in [None, Some(0), Some(5), Some(4), Some(u64::MAX), Some(6)] {
        let opening = sequenced("books-ms", sequence);
        store.append(DeploymentId::new(), &[opening]).await.unwrap();
        highest.push(store.sequence(&service).await.unwrap());
    }
    let max = Some(u64::MAX);
    assert_eq!(highest, [None, Some(0), Some(5), Some(5), max, max]);
    store.append(DeploymentId::new(), &[sequenced("other", Some(1))]).await.unwrap();
    drop(store);
    let store = open(directory.path()).await;
    assert_eq!(store.sequence(&service).await.unwrap(), max);
    assert_eq!(store.sequence(&name("other")).await.unwrap(), Some(1));
    // Without a deployment of its own: it attached to one.
    for (accepted, highest) in [(7, 7), (3, 7)] {
        store.accept(&name("other"), accepted).await.unwrap();
        assert_eq!(store.sequence(&name("other")).await.unwrap(), Some(highest));
    }
}

#[tokio::test]
async fn meta_is_kept() {
    let (directory, store) = fresh().await;
    assert_eq!(store.meta("cluster").await.unwrap(), None);
    store.set_meta("cluster", "one").await.unwrap();
    store.set_meta("cluster", "two").await.unwrap();
    drop(store);
    let store = open(directory.path()).await;
    let kept = store.meta("cluster").await.unwrap();
    assert_eq!(kept.as_deref(), Some("two"));
}

const SHORT: Retention = Retention { deployments: 3, committed: 2, events: 1 };

/// One deployment of `service` from begin to `end`, with an event.
async fn run(store: &Store, service: &str, end: Option<&str>) -> DeploymentId {
    let id = DeploymentId::new();
    store.append(id, &[opened(service)]).await.unwrap();
    let event =
        Event { seq: 0, at: Timestamp::now(), deployment: id, step: None, what: Happening::Opened };
    store.append_event(&event).await.unwrap();
    if let Some(end) = end {
        store.append(id, &[ended(end)]).await.unwrap();
    }
    id
}

#[tokio::test]
async fn the_past_is_forgotten_except_what_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_with(directory.path(), SHORT).await;
    let mut kept = vec![run(&store, "busy", None).await, run(&store, "busy", Some("stuck")).await];
    let other = run(&store, "quiet", Some("reverted")).await;
    let forgotten =
        [run(&store, "busy", Some("committed")).await, run(&store, "busy", Some("reverted")).await];
    for end in ["committed", "committed", "reverted", "unchanged", "reverted"] {
        kept.push(run(&store, "busy", Some(end)).await);
    }
    kept.reverse();
    let recent = store.recent(Some(&name("busy")), 100).await.unwrap();
    assert_eq!(recent, kept);
    assert_eq!(store.recent(Some(&name("quiet")), 9).await.unwrap(), [other]);
    for id in forgotten {
        assert!(records(&store, id).await.is_empty());
        assert_eq!(store.events(id, None).await.unwrap(), []);
    }
    let with_events: Vec<bool> = {
        let mut found = Vec::new();
        for id in kept {
            found.push(!store.events(id, None).await.unwrap().is_empty());
        }
        found
    };
    let newest_stuck_and_unfinished = [true, false, false, false, false, true, true];
    assert_eq!(with_events, newest_stuck_and_unfinished);
}

#[tokio::test]
async fn the_past_is_forgotten_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).await;
    for _ in 0..6 {
        run(&store, "a", Some("reverted")).await;
        run(&store, "b", Some("reverted")).await;
    }
    assert_eq!(store.recent(None, 100).await.unwrap().len(), 12);
    drop(store);
    let store = open_with(directory.path(), SHORT).await;
    assert_eq!(store.recent(None, 100).await.unwrap().len(), 6);
}
