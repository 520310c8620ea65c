//! What Verdigris did not make is not touched; what somebody made of its own is mended.

use serde_json::json;
use verdigris::deploy::ports::{Registry as _, Trouble};
use verdigris::model::{Colour, ServiceName, ServiceRecord};

use super::raw;
use crate::agent::{Agent, Kind, shared};
use crate::records::{service, settled, story};

/// Entries and keys of others, as near to ours as can be.
async fn strangers(agent: &Agent, service: &ServiceName) {
    let by_agent = |id: String, meta| {
        json!({ "ID": id, "Name": service, "Port": 80, "Address": "10.1.1.1",
                "Tags": ["blue", "live"], "Meta": meta })
    };
    let lookalike = by_agent(format!("verdigris-{service}-blue-stranger"), json!({}));
    let of_a_namesake =
        by_agent(format!("namesake-{service}"), json!({ "managed-by": "verdigris" }));
    for body in [lookalike, of_a_namesake] {
        agent.put("agent/service/register", body.to_string()).await;
    }
    let on_our_node = json!({
        "Node": "verdigris", "Address": "127.0.0.1", "SkipNodeUpdate": true,
        "Service": { "ID": format!("hand-{service}"), "Service": service, "Port": 99999,
                     "Meta": { "colour": "blue", "managed-by": "hand" } },
    });
    agent.put("catalog/register", on_our_node.to_string()).await;
    agent.put(&format!("kv/verdigris/services/{service}/notes"), "ask Ann first").await;
    agent.put(&format!("kv/verdigris/services/{service}/colour/more"), "red").await;
}

#[tokio::test]
async fn what_others_made_is_neither_read_nor_touched() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (registry, service) = (agent.registry(), service());
    // Our node must be there before a stranger can stand on it.
    registry.write(&service, &settled(Colour::Blue, 1, 1)).await.unwrap();
    registry.write(&service, &ServiceRecord::default()).await.unwrap();
    strangers(&agent, &service).await;
    let foreign = raw_when(&agent, &service, 3).await;

    for record in story() {
        registry.write(&service, &record).await.unwrap();
        assert_eq!(registry.read(&service).await.unwrap(), record);
        let all = registry.read_all().await.unwrap();
        assert_eq!(all.get(&service), (!record.is_empty()).then_some(&record));
    }
    registry.write(&service, &ServiceRecord::default()).await.unwrap();
    assert_eq!(raw(&agent, &service).await, foreign);
    for id in [format!("verdigris-{service}-blue-stranger"), format!("namesake-{service}")] {
        agent.put(&format!("agent/service/deregister/{id}"), "").await;
    }
}

/// The agent tells the catalog a moment after it was told.
async fn raw_when(agent: &Agent, service: &ServiceName, entries: usize) -> super::Raw {
    for _ in 0..500 {
        let raw = raw(agent, service).await;
        if raw.entries.len() == entries {
            return raw;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the entries do not appear");
}

#[tokio::test]
async fn a_key_that_is_not_understood_is_told_and_mended() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let registry = agent.registry();
    for (leaf, rubbish) in [
        ("colour", "purple"),
        ("colour", ""),
        ("route", "{"),
        ("route", r#"{"generation":"one"}"#),
        ("route", ""),
    ] {
        let service = service();
        let record = settled(Colour::Blue, 1, 2);
        registry.write(&service, &record).await.unwrap();
        let key = format!("verdigris/services/{service}/{leaf}");
        agent.put(&format!("kv/{key}"), rubbish).await;

        let error = registry.read(&service).await.unwrap_err();
        assert_eq!(error.trouble, Trouble::Invalid);
        assert!(error.chain().contains(&key), "{}", error.chain());
        assert!(error.remedy.unwrap().contains(&key));
        let all = registry.read_all().await.unwrap();
        assert!(!all.contains_key(&service), "left out of the list");
        registry.write(&service, &record).await.unwrap();
        assert_eq!(registry.read(&service).await.unwrap(), record);
    }
}

#[tokio::test]
async fn rubbish_is_removed_with_its_service() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (registry, service) = (agent.registry(), service());
    let key = format!("kv/verdigris/services/{service}/route");
    agent.put(&key, "rubbish").await;
    registry.write(&service, &ServiceRecord::default()).await.unwrap();
    assert!(registry.read(&service).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_colour_put_by_hand_may_end_its_line() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (registry, service) = (agent.registry(), service());
    agent.put(&format!("kv/verdigris/services/{service}/colour"), "green\n").await;
    let record = registry.read(&service).await.unwrap();
    assert_eq!(record.colour, Some(Colour::Green));
}

#[tokio::test]
async fn an_edited_entry_is_mended() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let registry = agent.registry();
    let edits = [
        ("/Tags", json!(["blue", "live", "canary"]), true),
        ("/Tags", json!(["live", "blue"]), true),
        ("/Tags", json!([]), false),
        ("/Tags", json!(["live", "idle"]), false),
        ("/Address", json!("books.example.com"), false),
        ("/Port", json!(0), true),
        ("/Meta/colour", json!("purple"), false),
        ("/Meta/release", json!("other"), true),
    ];
    for (field, value, understood) in edits {
        let service = service();
        let record = settled(Colour::Blue, 1, 2);
        registry.write(&service, &record).await.unwrap();
        let whole = raw(&agent, &service).await;
        let mut node = agent.get("catalog/node/verdigris").await;
        let entry = &mut node["Services"][format!("verdigris-{service}-blue-bluetask0")];
        *entry.pointer_mut(field).unwrap() = value;
        let edited = json!({
            "Node": "verdigris", "Address": "127.0.0.1", "SkipNodeUpdate": true, "Service": entry,
        });
        agent.put("catalog/register", edited.to_string()).await;

        let read = registry.read(&service).await.unwrap();
        assert_eq!(read.instances.len(), 1 + usize::from(understood), "{field}");
        registry.write(&service, &record).await.unwrap();
        assert_eq!(raw(&agent, &service).await, whole, "{field}");
    }
}
