//! What others find in Consul: scripts, DNS, other tools.

use std::net::Ipv4Addr;

use serde_json::json;
use verdigris::deploy::ports::Registry as _;
use verdigris::model::{Colour, Standing};

use super::raw;
use crate::agent::{Kind, shared};
use crate::dns::addresses;
use crate::records::{instances, record, route, service, settled, story};

#[tokio::test]
async fn entries_and_keys_are_as_documented() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let service = service();
    let written = settled(Colour::Blue, 7, 1);
    agent.registry().write(&service, &written).await.unwrap();
    let raw = raw(&agent, &service).await;

    let id = format!("verdigris-{service}-blue-bluetask0");
    let entry = &raw.entries[&id];
    assert_eq!(raw.entries.len(), 1);
    assert_eq!(entry["ServiceName"], service.as_str());
    assert_eq!(entry["ServiceAddress"], "10.0.0.7");
    assert_eq!(entry["ServicePort"], 32768);
    assert_eq!(entry["ServiceTags"], json!(["blue", "live"]));
    let meta = json!({
        "colour": "blue",
        "release": "bluec0ffee",
        "image": format!("127.0.0.1:5000/books-ms@sha256:{}", "ab".repeat(32)),
        "node": "node-0.example.com",
        "task": "bluetask0",
        "managed-by": "verdigris",
    });
    assert_eq!(entry["ServiceMeta"], meta);

    let key = |leaf: &str| format!("verdigris/services/{service}/{leaf}");
    assert_eq!(raw.keys.len(), 2);
    assert_eq!(raw.keys[&key("colour")], "blue");
    let route: serde_json::Value = serde_json::from_str(&raw.keys[&key("route")]).unwrap();
    assert_eq!(route["generation"], 7);
    assert_eq!(route["weights"], json!({ "blue": 100, "green": 0 }));
}

#[tokio::test]
async fn tags_resolve_in_dns_as_soon_as_they_are_written() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let registry = agent.registry();
    let service = service();
    let ask = async |tag: &str| {
        let name = format!("{tag}.{service}.service.consul");
        addresses(agent.dns(), &name).await
    };
    let at = |entries: &[verdigris::model::Registration]| {
        let ip = |entry: &verdigris::model::Registration| match entry.instance.address.ip() {
            std::net::IpAddr::V4(ip) => ip,
            std::net::IpAddr::V6(ip) => panic!("{ip}"),
        };
        entries.iter().map(ip).collect::<Vec<Ipv4Addr>>()
    };
    let mut blue = instances(Colour::Blue, Standing::Live, 2);
    let mut green = instances(Colour::Green, Standing::Idle, 1);
    green[0].instance.address = "10.9.9.9:80".parse().unwrap();
    for live in [Colour::Blue, Colour::Green, Colour::Blue] {
        let is = |colour| if colour == live { Standing::Live } else { Standing::Idle };
        for entry in blue.iter_mut().chain(&mut green) {
            entry.standing = is(entry.colour);
        }
        let all = [blue.clone(), green.clone()].concat();
        let record = record(all, Some(live), Some(route(1, live)));
        registry.write(&service, &record).await.unwrap();

        let (of_blue, of_green) = (at(&blue), at(&green));
        let live_is_blue = live == Colour::Blue;
        assert_eq!(
            ask("live").await,
            if live_is_blue { of_blue.clone() } else { of_green.clone() }
        );
        assert_eq!(
            ask("idle").await,
            if live_is_blue { of_green.clone() } else { of_blue.clone() }
        );
        assert_eq!(ask("blue").await, of_blue);
        assert_eq!(ask("green").await, of_green);
    }
}

#[tokio::test]
async fn health_queries_count_every_instance_as_passing() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let service = service();
    agent.registry().write(&service, &settled(Colour::Green, 1, 3)).await.unwrap();
    let passing = agent.get(&format!("health/service/{service}?passing&tag=live")).await;
    assert_eq!(passing.as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn what_was_before_is_restored_to_the_byte() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let registry = agent.registry();
    for before in story() {
        let service = service();
        registry.write(&service, &before).await.unwrap();
        let held = raw(&agent, &service).await;
        let snapshot = registry.read(&service).await.unwrap();
        for after in story() {
            registry.write(&service, &after).await.unwrap();
            registry.write(&service, &snapshot).await.unwrap();
            assert_eq!(raw(&agent, &service).await, held);
        }
    }
}

#[tokio::test]
async fn nothing_is_written_where_nothing_differs() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let (registry, service) = (agent.registry(), service());
    let all = |live, idle| [instances(Colour::Blue, live, 2), instances(Colour::Green, idle, 2)];
    let first = all(Standing::Live, Standing::Idle).concat();
    let record_of = |entries| record(entries, Some(Colour::Blue), Some(route(1, Colour::Blue)));
    registry.write(&service, &record_of(first.clone())).await.unwrap();
    let indices = async || {
        let entries = agent.get(&format!("catalog/service/{service}")).await;
        let keys = agent.get(&format!("kv/verdigris/services/{service}/?recurse")).await;
        let both = [entries, keys];
        let all = both.iter().flat_map(|list| list.as_array().unwrap());
        all.map(|one| one["ModifyIndex"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let before = indices().await;
    registry.write(&service, &record_of(first.clone())).await.unwrap();
    assert_eq!(indices().await, before);

    let mut one_moved = first;
    one_moved[3].instance.node = "elsewhere".to_owned();
    registry.write(&service, &record_of(one_moved)).await.unwrap();
    let after = indices().await;
    let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
    assert_eq!(changed.count(), 1);
}

#[tokio::test]
async fn two_prefixes_do_not_see_each_other() {
    let Some(agent) = shared(Kind::Plain).await else { return };
    let mut settings = agent.settings();
    settings.prefix = "ops/verdigris".to_owned();
    let other = verdigris::registry::consul::Consul::new(&settings).unwrap();
    let (ours, service) = (agent.registry(), service());
    let (blue, green) = (settled(Colour::Blue, 1, 2), settled(Colour::Green, 1, 2));
    ours.write(&service, &blue).await.unwrap();
    other.write(&service, &green).await.unwrap();
    assert_eq!(ours.read(&service).await.unwrap(), blue);
    assert_eq!(other.read(&service).await.unwrap(), green);
    assert_eq!(ours.read_all().await.unwrap()[&service], blue);
    assert_eq!(other.read_all().await.unwrap()[&service], green);
    other.write(&service, &verdigris::model::ServiceRecord::default()).await.unwrap();
    assert_eq!(ours.read(&service).await.unwrap(), blue);
}
