use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use futures_util::future::join_all;
use rusqlite::params;
use tempfile::TempDir;

use super::*;

const FORMATS: &[&str] = &["CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT NOT NULL)"];

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

async fn put(database: &Database, n: u32, text: &'static str) -> Result<(), DatabaseError> {
    database
        .write(Durability::Synced, move |connection| {
            connection.execute("INSERT INTO t VALUES (?1, ?2)", params![n, text]).map(drop)
        })
        .await
}

async fn count(database: &Database) -> u32 {
    let one = |row: &rusqlite::Row<'_>| row.get(0);
    database
        .read(move |connection| connection.query_row("SELECT count(*) FROM t", [], one))
        .await
        .unwrap()
}

#[tokio::test]
async fn writes_that_come_together_fail_apart() {
    let directory = directory();
    let database = Database::open(&directory.path().join("db"), FORMATS).unwrap();
    let results = join_all((0..100).map(|n| put(&database, n / 2, "row"))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 50);
    assert_eq!(count(&database).await, 50);
}

#[tokio::test]
async fn a_failed_write_leaves_nothing() {
    let directory = directory();
    let database = Database::open(&directory.path().join("db"), FORMATS).unwrap();
    let half = database.write(Durability::Synced, |connection| {
        connection.execute("INSERT INTO t VALUES (1, 'half')", [])?;
        connection.execute("INSERT INTO missing VALUES (1)", [])
    });
    let (half, whole) = tokio::join!(half, put(&database, 2, "whole"));
    assert!(half.is_err());
    whole.unwrap();
    assert_eq!(count(&database).await, 1);
}

#[tokio::test]
async fn a_synced_write_is_synced_in_any_company() {
    let directory = directory();
    let database = Database::open(&directory.path().join("db"), FORMATS).unwrap();
    let level = |durability| {
        database.write(durability, |connection| {
            connection.pragma_query_value(None, "synchronous", |row| row.get::<_, u8>(0))
        })
    };
    assert_eq!(level(Durability::Visible).await.unwrap(), 1);
    assert_eq!(level(Durability::Synced).await.unwrap(), 2);
    assert_eq!(level(Durability::Visible).await.unwrap(), 1);
    let (visible, synced) = tokio::join!(level(Durability::Visible), level(Durability::Synced));
    assert!(visible.unwrap() >= 1);
    assert_eq!(synced.unwrap(), 2);
}

#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    let directory = directory();
    let path = directory.path().join("db");
    let database = Database::open(&path, FORMATS).unwrap();
    put(&database, 1, "row").await.unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
    }
}

#[tokio::test]
async fn formats_lead_on_from_each_other() {
    let directory = directory();
    let path = directory.path().join("db");
    let database = Database::open(&path, FORMATS).unwrap();
    put(&database, 1, "old").await.unwrap();
    drop(database);

    let later = [FORMATS[0], "ALTER TABLE t ADD COLUMN more TEXT"];
    let database = Database::open(&path, &later).unwrap();
    assert_eq!(count(&database).await, 1);
    drop(database);

    let refused = Database::open(&path, FORMATS).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 2, known: 1, .. }));
    assert!(fs::exists(&path).unwrap(), "it was not moved aside");
}

#[tokio::test]
async fn a_failed_migration_changes_nothing() {
    let directory = directory();
    let path = directory.path().join("db");
    let database = Database::open(&path, FORMATS).unwrap();
    put(&database, 1, "row").await.unwrap();
    drop(database);
    let wrong = [FORMATS[0], "DELETE FROM t; SELECT nonsense"];
    let error = Database::open(&path, &wrong).err().unwrap();
    assert!(matches!(error, OpenError::Migrate { format: 2, .. }));
    assert_eq!(count(&Database::open(&path, FORMATS).unwrap()).await, 1);
}

/// What may have become of a database file.
fn ruin(path: &std::path::Path, how: &str) {
    match how {
        "other text" => {
            fs::write(path, "this is not a database, but long enough for a header").unwrap();
        }
        "header gone" => overwrite(path, 0, &[0xff; 100]),
        "pages mixed up" => {
            let length = fs::metadata(path).unwrap().len();
            overwrite(path, 4096, &vec![0x5a; usize::try_from(length - 4096).unwrap()]);
        }
        "cut off" => {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(6000).unwrap();
        }
        other => panic!("{other}"),
    }
}

fn overwrite(path: &std::path::Path, at: u64, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(bytes).unwrap();
}

#[rstest::rstest]
#[tokio::test]
async fn a_damaged_file_is_moved_aside(
    #[values("other text", "header gone", "pages mixed up", "cut off")] how: &str,
) {
    let directory = directory();
    let path = directory.path().join("db");
    let database = Database::open(&path, FORMATS).unwrap();
    join_all((0..500).map(|n| put(&database, n, "a row of some length, for several pages"))).await;
    assert!(database.damaged().is_empty());
    drop(database);
    ruin(&path, how);
    let mut ruined = Vec::new();
    fs::File::open(&path).unwrap().read_to_end(&mut ruined).unwrap();

    let database = Database::open(&path, FORMATS).unwrap();
    let aside = database.damaged();
    assert_eq!(aside.len(), 1);
    assert_eq!(fs::read(&aside[0]).unwrap(), ruined);
    assert_eq!(count(&database).await, 0);
    put(&database, 1, "row").await.unwrap();
    fs::remove_file(&aside[0]).unwrap();
    assert!(database.damaged().is_empty());
}

#[tokio::test]
async fn an_unwritable_place_is_told() {
    let error = Database::open(Path::new("/proc/verdigris/db"), FORMATS).err().unwrap();
    assert!(error.to_string().contains("/proc/verdigris/db"), "{error}");
}

#[tokio::test]
async fn trouble_names_the_file_and_the_way_out() {
    let directory = directory();
    let path = directory.path().join("db");
    let database = Database::open(&path, FORMATS).unwrap();
    let full = database
        .write(Durability::Synced, |connection| {
            let pages: u32 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            connection.pragma_update(None, "max_page_count", pages)?;
            connection.execute("INSERT INTO t VALUES (1, randomblob(100000))", [])
        })
        .await
        .unwrap_err()
        .port("keep a row", &path);
    assert!(full.remedy.unwrap().contains(path.to_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_do_not_wait_for_each_other() {
    let directory = directory();
    let database = Database::open(&directory.path().join("db"), FORMATS).unwrap();
    put(&database, 1, "row").await.unwrap();
    let (quick_one_is_done, done) = std::sync::mpsc::channel();
    let slow = database.read(move |connection| {
        assert!(done.recv_timeout(Duration::from_secs(10)).is_ok(), "the other read waits");
        connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, u32>(0))
    });
    let quick = async {
        let found = count(&database).await;
        quick_one_is_done.send(()).unwrap();
        found
    };
    let (slow, quick) = tokio::join!(slow, quick);
    assert_eq!((slow.unwrap(), quick), (1, 1));
}
