//! A list of the past folds a journal once, and never on the word of a summary that is out of date.

use rusqlite::Connection;

use super::*;
use crate::deploy::ports::Past;
use crate::deploy::summary;
use crate::model::DeploymentView;

async fn run(store: &Store, service: &str, end: Option<&str>) -> DeploymentId {
    let id = DeploymentId::new();
    store.append(id, &[opened(service)]).await.unwrap();
    if let Some(end) = end {
        store.append(id, &[ended(end)]).await.unwrap();
    }
    id
}

async fn list(store: &Store, past: Past<'_>, limit: usize) -> Vec<DeploymentView> {
    summary::summaries(store, past, limit).await.unwrap()
}

fn told(views: &[DeploymentView]) -> Vec<DeploymentId> {
    views.iter().map(|view| view.id).collect()
}

fn by_hand(directory: &TempDir) -> Connection {
    Connection::open(directory.path().join("verdigris.db")).unwrap()
}

#[tokio::test]
async fn a_list_is_as_long_as_asked_for_and_holds_what_was_asked_for() {
    let (_directory, store) = fresh().await;
    let first = run(&store, "a", Some("committed")).await;
    let other = run(&store, "b", Some("committed")).await;
    let reverted = run(&store, "a", Some("reverted")).await;
    let last = run(&store, "a", Some("committed")).await;
    let open = run(&store, "a", None).await;
    let a = name("a");
    // The first time they are folded, the second time not.
    for _ in 0..2 {
        let all = list(&store, Past::All, 9).await;
        assert_eq!(told(&all), [open, last, reverted, other, first]);
        assert_eq!(told(&list(&store, Past::Of(&a), 3).await), [open, last, reverted]);
        assert_eq!(told(&list(&store, Past::Committed(&a), 9).await), [last, first]);
        assert_eq!(told(&list(&store, Past::Committed(&a), 1).await), [last]);
    }
}

#[tokio::test]
async fn a_journal_is_folded_once_when_it_has_ended() {
    let (directory, store) = fresh().await;
    for end in [Some("reverted"), Some("committed"), None] {
        run(&store, "a", end).await;
    }
    let before = list(&store, Past::All, 2).await;
    assert_eq!(before.len(), 2);
    let before = list(&store, Past::All, 9).await;
    assert_eq!(before.len(), 3);
    by_hand(&directory).execute("DELETE FROM records", []).unwrap();
    // The one that is under way cannot be told without its journal, the others are.
    assert_eq!(list(&store, Past::All, 9).await, before[1..]);
}

#[rstest::rstest]
#[tokio::test]
async fn a_summary_that_cannot_be_relied_upon_is_made_anew(
    #[values("records = 1", "form = 99", "body = '{}'", "body = x'ff'")] damage: &str,
) {
    let (directory, store) = fresh().await;
    run(&store, "a", Some("reverted")).await;
    let before = list(&store, Past::All, 9).await;
    let hand = by_hand(&directory);
    let kept = || -> (i64, i64, String) {
        let sql = "SELECT records, form, CAST(body AS TEXT) FROM summaries";
        hand.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap()
    };
    let good = kept();
    hand.execute("UPDATE summaries SET body = replace(body, 'tester', 'nobody')", []).unwrap();
    assert_eq!(list(&store, Past::All, 9).await[0].by, "nobody", "the summary is used");
    assert_eq!(hand.execute(&format!("UPDATE summaries SET {damage}"), []).unwrap(), 1);
    assert_eq!(list(&store, Past::All, 9).await, before);
    assert_eq!(kept(), good);
}

#[tokio::test]
async fn a_summary_goes_with_its_deployment() {
    let directory = tempfile::tempdir().unwrap();
    let short = Retention { deployments: 2, committed: 0, events: 1 };
    let store = open_with(directory.path(), short).await;
    for _ in 0..5 {
        run(&store, "a", Some("reverted")).await;
        list(&store, Past::All, 9).await;
    }
    let count = "SELECT count(*) FROM summaries";
    let count: i64 = by_hand(&directory).query_row(count, [], |row| row.get(0)).unwrap();
    assert_eq!(count, 2);
}

#[tokio::test]
async fn what_is_stuck_is_found_among_what_has_not_ended() {
    let (directory, store) = fresh().await;
    let stuck = run(&store, "a", None).await;
    let damaged = run(&store, "b", None).await;
    run(&store, "c", None).await;
    run(&store, "d", Some("reverted")).await;
    for id in [stuck, damaged] {
        store.append(id, &[Record::Stuck { problem: failure() }]).await.unwrap();
    }
    let hole = "DELETE FROM records WHERE deployment = ?1 AND seq = 0";
    by_hand(&directory).execute(hole, [damaged.to_string()]).unwrap();
    assert_eq!(told(&summary::stuck(&store).await.unwrap()), [stuck]);
}
