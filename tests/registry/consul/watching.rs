//! Hints come for what changes, and only then.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;
use verdigris::deploy::ports::Registry as _;
use verdigris::model::Colour;

use crate::agent::{Agent, Kind};
use crate::records::{service, settled};

/// A change is told within milliseconds; a quiet time this long tells that none was.
const QUIET: Duration = Duration::from_millis(500);

/// Far more than a hint takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn hints_follow_every_change_of_ours_and_no_other() {
    let Some(agent) = Agent::start(Kind::Plain).await else { return };
    let (registry, service) = (agent.registry(), service());
    registry.write(&service, &settled(Colour::Blue, 1, 2)).await.unwrap();
    let mut changes = registry.changes().await.unwrap();
    let mut quiet = async || {
        // One write may give two hints: one for its keys, one for its instances.
        while timeout(QUIET, changes.next()).await.is_ok_and(|hint| hint.is_some()) {}
        timeout(QUIET, changes.next()).await.is_err()
    };
    assert!(quiet().await, "nothing has changed");

    agent.put("kv/elsewhere", "1").await;
    agent.put("kv/verdigris/locks/books", "1").await;
    agent.put("agent/service/register", r#"{ "Name": "stranger", "Port": 1 }"#).await;
    assert!(quiet().await, "others' changes are no hints");
    drop(changes);

    let mut changes = registry.changes().await.unwrap();
    let mut hinted =
        async || timeout(PATIENCE, changes.next()).await.is_ok_and(|hint| hint.is_some());
    agent.put(&format!("kv/verdigris/services/{service}/colour"), "green").await;
    assert!(hinted().await, "a key was changed by hand");
    registry.write(&service, &settled(Colour::Blue, 1, 1)).await.unwrap();
    assert!(hinted().await, "an instance is gone");
    registry.write(&super::super::records::service(), &settled(Colour::Blue, 1, 1)).await.unwrap();
    assert!(hinted().await, "a service is new");
}

#[tokio::test]
async fn a_hint_comes_within_milliseconds() {
    let Some(agent) = Agent::start(Kind::Plain).await else { return };
    let (registry, service) = (agent.registry(), service());
    let mut slowest = Duration::ZERO;
    let mut changes = registry.changes().await.unwrap();
    for generation in 0..10 {
        let record = settled(Colour::Blue, generation, 0);
        registry.write(&service, &record).await.unwrap();
        let begin = std::time::Instant::now();
        timeout(PATIENCE, changes.next()).await.unwrap().unwrap();
        slowest = slowest.max(begin.elapsed());
    }
    // Some 4 ms by itself; the machine may be busy.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
