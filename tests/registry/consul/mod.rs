//! What only Consul does.

mod foreign;
mod layout;
mod leases;
mod rights;
mod trouble;
mod watching;

use std::collections::BTreeMap;

use serde_json::Value;
use verdigris::model::ServiceName;

use crate::agent::Agent;

/// What Consul holds of a service, whoever made it: entries by id without the indices that count
/// changes, keys with their bytes.
#[derive(Debug, PartialEq)]
struct Raw {
    entries: BTreeMap<String, Value>,
    keys: BTreeMap<String, String>,
}

async fn raw(agent: &Agent, service: &ServiceName) -> Raw {
    let entries = agent.get(&format!("catalog/service/{service}")).await;
    let entries = entries.as_array().unwrap().iter().map(|entry| {
        let mut entry = entry.clone();
        let fields = entry.as_object_mut().unwrap();
        fields.retain(|field, _| !matches!(field.as_str(), "CreateIndex" | "ModifyIndex"));
        (entry["ServiceID"].as_str().unwrap().to_owned(), entry)
    });
    let entries = entries.collect();
    let names = agent.try_get(&format!("kv/verdigris/services/{service}/?keys")).await;
    let mut keys = BTreeMap::new();
    for name in names.as_ref().and_then(Value::as_array).into_iter().flatten() {
        let name = name.as_str().unwrap();
        let bytes = agent.key(name).await.unwrap();
        keys.insert(name.to_owned(), String::from_utf8(bytes).unwrap());
    }
    Raw { entries, keys }
}
