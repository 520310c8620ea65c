//! A process that appends is killed at any instant: whatever it was told is durable is there.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;

use super::*;

/// Names the state directory to the child.
const STATE: &str = "VERDIGRIS_TEST_CRASH_STATE";

/// Deployments that the child appends to side by side, so that commits are shared.
const WRITERS: usize = 8;

/// The child: appends until it is killed, and prints `deployment count` after each acknowledgement.
#[test]
#[ignore = "the child of `what_was_acknowledged_survives_a_kill`"]
fn appends_until_killed() {
    let Some(state) = env::var_os(STATE) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&state)).await;
        join_all(ids(WRITERS).into_iter().map(async |id| {
            store.append(id, &[opened("books-ms")]).await.unwrap();
            acknowledge(id, 1);
            for count in 2..100_000 {
                let step = Step::Await;
                store.append(id, &[Record::Began { step }]).await.unwrap();
                acknowledge(id, count);
            }
        }))
        .await;
    });
}

fn acknowledge(id: DeploymentId, count: usize) {
    // Not by `println!`, which the test harness would buffer. One write: lines do not mix.
    let line = format!("ack {id} {count}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

fn child(state: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "journal::tests::crash::appends_until_killed"])
        .args(["--ignored", "--nocapture"])
        .env(STATE, state)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Let the child acknowledge `enough` appends and `more` time pass, kill it, and return what it
/// acknowledged per deployment, to the last line that it got out.
fn kill(mut child: Child, enough: usize, more: Duration) -> BTreeMap<String, usize> {
    let mut acknowledged = BTreeMap::new();
    let mut note = |line: &str| {
        if let ["ack", id, count] = line.split(' ').collect::<Vec<_>>()[..] {
            acknowledged.insert(id.to_owned(), count.parse().unwrap());
        }
    };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for line in lines.by_ref().take(enough) {
        note(&line.unwrap());
    }
    std::thread::sleep(more);
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines.map_while(Result::ok) {
        note(&line);
    }
    acknowledged
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..5 {
        let child = child(directory.path());
        let moment = Duration::from_micros(730 * round);
        let acknowledged = kill(child, 200, moment);
        assert_eq!(acknowledged.len(), WRITERS);

        let store = open(directory.path()).await;
        for (id, count) in acknowledged {
            let read = Journal::read(&store, id.parse().unwrap()).await.unwrap();
            assert!(read.len() >= count, "{id}: {count} of {}", read.len());
            assert!(read.iter().map(|entry| entry.seq).eq(0..read.len() as u64));
        }
        assert_eq!(store.problems().await, Vec::<String>::new());
        let unfinished = store.unfinished().await.unwrap().len();
        assert_eq!(unfinished, (usize::try_from(round).unwrap() + 1) * WRITERS);
    }
}
