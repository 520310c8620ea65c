//! What is appended is read, after a restart as well; what cannot be read stays and is told.

use futures_util::future::join_all;
use jiff::Timestamp;
use rusqlite::Connection;

use super::*;
use crate::deploy::ports::{Origin, Trouble};
use crate::model::{Event, Happening};

#[tokio::test]
async fn records_come_back_in_order_after_a_restart() {
    let (directory, store) = fresh().await;
    let id = DeploymentId::new();
    let written = [
        opened("books-ms"),
        Record::Began { step: Step::Prepare },
        Record::Failed { failure: failure() },
    ];
    let before = Timestamp::now();
    store.append(id, &written[..1]).await.unwrap();
    store.append(id, &written[1..]).await.unwrap();
    drop(store);
    let store = open(directory.path()).await;
    assert_eq!(records(&store, id).await, written);
    let read = Journal::read(&store, id).await.unwrap();
    assert!(read.iter().map(|entry| entry.seq).eq(0..3));
    assert!(read.is_sorted_by_key(|entry| entry.at));
    assert!(read.iter().all(|entry| before <= entry.at));
    assert_eq!(store.service_of(id).await.unwrap(), Some(name("books-ms")));
    assert_eq!(store.problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_unknown_deployment_is_empty_and_cannot_go_on() {
    let (_directory, store) = fresh().await;
    let id = DeploymentId::new();
    assert!(records(&store, id).await.is_empty());
    let step = Step::Start;
    let several = [Record::Began { step }, opened("books-ms")];
    let error = store.append(id, &several).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::NotFound);
    assert!(error.chain().contains(&id.to_string()), "{}", error.chain());
    assert!(records(&store, id).await.is_empty());
}

#[tokio::test]
async fn many_at_once_keep_their_own_order() {
    let (_directory, store) = fresh().await;
    let deployments = ids(20);
    join_all(deployments.iter().map(async |id| {
        store.append(*id, &[opened("books-ms")]).await.unwrap();
        for step in Step::ALL {
            store.append(*id, &[Record::Began { step }]).await.unwrap();
        }
    }))
    .await;
    for id in deployments {
        let steps: Vec<_> = records(&store, id).await.split_off(1);
        assert!(steps.iter().eq(&Step::ALL.map(|step| Record::Began { step })));
    }
}

#[tokio::test]
async fn unfinished_are_those_without_an_end() {
    let (_directory, store) = fresh().await;
    let [open, reverted, stuck, retried] = ids(4)[..] else { unreachable!() };
    for id in [open, reverted, stuck, retried] {
        store.append(id, &[opened("books-ms")]).await.unwrap();
    }
    store.append(reverted, &[ended("reverted")]).await.unwrap();
    store.append(stuck, &[ended("stuck")]).await.unwrap();
    store.append(retried, &[ended("stuck")]).await.unwrap();
    let by = "operator".to_owned();
    store.append(retried, &[Record::Retried { by }]).await.unwrap();
    assert_eq!(store.unfinished().await.unwrap(), [open, retried]);
}

#[tokio::test]
async fn recent_is_newest_first_and_by_service() {
    let (_directory, store) = fresh().await;
    let all = ids(6);
    for (id, service) in all.iter().zip(["a", "b"].iter().cycle()) {
        store.append(*id, &[opened(service)]).await.unwrap();
    }
    let newest: Vec<_> = all.iter().rev().copied().collect();
    assert_eq!(store.recent(None, 100).await.unwrap(), newest);
    assert_eq!(store.recent(None, 2).await.unwrap(), newest[..2]);
    let of_a = store.recent(Some(&name("a")), 2).await.unwrap();
    assert_eq!(of_a, [all[4], all[2]]);
    assert!(store.recent(Some(&name("c")), 9).await.unwrap().is_empty());
}

#[tokio::test]
async fn journals_are_read_page_by_page() {
    let (_directory, store) = fresh().await;
    let all = ids(6);
    for (id, service) in all.iter().zip(["a", "b"].iter().cycle()) {
        store.append(*id, &[opened(service), Record::Began { step: Step::Prepare }]).await.unwrap();
    }
    let page = async |before, limit| store.journals(&name("a"), before, limit).await.unwrap();
    let first = page(None, 2).await;
    assert_eq!(first.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [all[4], all[2]]);
    for (id, journal) in &first {
        assert_eq!(journal.len(), 2);
        assert_eq!(*journal, Journal::read(&store, *id).await.unwrap());
    }
    let rest: Vec<_> = page(Some(all[2]), 2).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(rest, [all[0]]);
    assert!(page(Some(all[0]), 2).await.is_empty());
}

#[rstest::rstest]
#[tokio::test]
async fn a_record_that_cannot_be_read_stays_and_is_named(
    #[values(
        "body = substr(body, 1, length(body) / 2)",
        "body = '{\"record\":\"unheard-of\"}'",
        "body = x'ff00ff'",
        "body = ''",
        "version = 99",
        "at = 'yesterday'"
    )]
    damage: &str,
) {
    let (directory, store) = fresh().await;
    let id = DeploymentId::new();
    store.append(id, &[opened("books-ms")]).await.unwrap();
    for step in [Step::Prepare, Step::Start] {
        store.append(id, &[Record::Began { step }]).await.unwrap();
    }
    let whole = Journal::read(&store, id).await.unwrap();
    let hand = Connection::open(directory.path().join("verdigris.db")).unwrap();
    hand.execute_batch("CREATE TABLE safe AS SELECT * FROM records").unwrap();
    hand.execute(&format!("UPDATE records SET {damage} WHERE seq = 1"), []).unwrap();

    let read = Journal::read(&store, id).await.unwrap();
    assert_eq!((&read[0], &read[2], read.len()), (&whole[0], &whole[2], 3));
    assert_eq!(read[1].seq, 1);
    assert!(matches!(read[1].record, Record::Unreadable { .. }), "{:?}", read[1]);
    let problems = store.problems().await;
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with(&format!("record 1 of deployment `{id}`")));

    // Whoever can read it, or mends it, finds it where it was.
    hand.execute_batch("DELETE FROM records; INSERT INTO records SELECT * FROM safe").unwrap();
    drop(store);
    let store = open(directory.path()).await;
    assert_eq!(Journal::read(&store, id).await.unwrap(), whole);
    assert_eq!(store.problems().await, Vec::<String>::new());
}

/// Nothing that follows betrays the last one, and it may be the one that matters most.
#[rstest::rstest]
#[tokio::test]
async fn a_record_that_is_missing_is_told_in_its_place(#[values(0, 1, 2)] lost: u64) {
    let (directory, store) = fresh().await;
    let id = DeploymentId::new();
    store.append(id, &[opened("books-ms")]).await.unwrap();
    for step in [Step::Prepare, Step::Start] {
        store.append(id, &[Record::Began { step }]).await.unwrap();
    }
    let hand = Connection::open(directory.path().join("verdigris.db")).unwrap();
    hand.execute("DELETE FROM records WHERE seq = ?1", [lost.cast_signed()]).unwrap();
    let read = Journal::read(&store, id).await.unwrap();
    let missing: Vec<u64> = read
        .iter()
        .filter(|entry| matches!(entry.record, Record::Unreadable { .. }))
        .map(|entry| entry.seq)
        .collect();
    assert_eq!((missing, read.len()), (vec![lost], 3));
    let problems = store.problems().await;
    assert!(problems[0].contains(&format!("record {lost} of deployment `{id}`")), "{problems:?}");
    assert!(problems[0].contains("it is missing"), "{problems:?}");
}

#[tokio::test]
async fn what_an_earlier_version_took_out_of_its_journal_is_named_still() {
    let (directory, store) = fresh().await;
    let hand = Connection::open(directory.path().join("verdigris.db")).unwrap();
    let row = "INSERT INTO quarantine VALUES ('d1', 7, 'yesterday', 9, x'00', 'no words')";
    hand.execute(row, []).unwrap();
    let problems = store.problems().await;
    assert!(problems[0].starts_with("record 7 of deployment `d1`"), "{problems:?}");
}

#[tokio::test]
async fn what_the_database_refuses_is_said_to_come_from_the_journal() {
    let (directory, store) = fresh().await;
    let hand = Connection::open(directory.path().join("verdigris.db")).unwrap();
    hand.execute_batch("DROP TABLE events; DROP TABLE records").unwrap();
    let id = DeploymentId::new();
    let errors = [
        store.append(id, &[opened("books-ms")]).await.unwrap_err(),
        Journal::read(&store, id).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.trouble, error.origin), (Trouble::Other, Some(Origin::Journal)));
    }
}

#[tokio::test]
async fn a_damaged_store_is_reported_and_a_fresh_one_started() {
    let (directory, store) = fresh().await;
    let id = DeploymentId::new();
    store.append(id, &[opened("books-ms")]).await.unwrap();
    drop(store);
    std::fs::write(directory.path().join("verdigris.db"), [7; 5000]).unwrap();
    let store = open(directory.path()).await;
    assert!(records(&store, id).await.is_empty());
    let problems = store.problems().await;
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("verdigris.db.damaged-"), "{problems:?}");
}

fn event(deployment: DeploymentId, seq: u64, text: &str) -> Event {
    Event {
        seq,
        at: Timestamp::now(),
        deployment,
        step: Some(Step::Await),
        what: Happening::Note { text: text.to_owned() },
    }
}

#[tokio::test]
async fn events_are_read_from_where_a_client_left_off() {
    let (_directory, store) = fresh().await;
    let id = DeploymentId::new();
    store.append(id, &[opened("books-ms")]).await.unwrap();
    assert_eq!(store.next_event(id).await.unwrap(), 0);
    let events: Vec<_> = (0..10).map(|seq| event(id, seq, "running")).collect();
    store.append_event(&events[0]).await.unwrap();
    store.append_events(&events[1..]).await.unwrap();
    assert_eq!(store.events(id, None).await.unwrap(), events);
    assert_eq!(store.events(id, Some(6)).await.unwrap(), events[7..]);
    assert_eq!(store.events(id, Some(u64::MAX)).await.unwrap(), []);
    assert_eq!(store.next_event(id).await.unwrap(), 10);
    assert_eq!(store.events(DeploymentId::new(), None).await.unwrap(), []);
}
