//! Changes as transactions of Consul.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::diff::Diff;
use super::error::CallError;
use super::image::Entry;
use super::layout::Layout;

/// Most operations in one transaction that every version of Consul takes.
const LARGEST: usize = 64;

/// Consul wants an address of a node; nobody uses this one, because every entry has its own.
const NODE_ADDRESS: &str = "127.0.0.1";

/// One operation of a transaction.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) enum Operation {
    Node(NodeOperation),
    Service(ServiceOperation),
    #[serde(rename = "KV")]
    Key(KeyOperation),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeOperation {
    verb: &'static str,
    node: NodeEntry,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct NodeEntry {
    node: String,
    address: &'static str,
    meta: BTreeMap<&'static str, &'static str>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ServiceOperation {
    verb: &'static str,
    node: String,
    service: Entry,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyOperation {
    verb: &'static str,
    key: String,
    value: String,
    index: u64,
}

impl Operation {
    /// The node must be there before anything stands under it. Consul's own term marks it as one that
    /// no agent looks after.
    pub(super) fn node(layout: &Layout) -> Self {
        Self::Node(NodeOperation {
            verb: "set",
            node: NodeEntry {
                node: layout.node().to_owned(),
                address: NODE_ADDRESS,
                meta: BTreeMap::from([("external-node", "true")]),
            },
        })
    }

    pub(super) fn put(layout: &Layout, entry: Entry) -> Self {
        Self::service("set", layout, entry)
    }

    /// Removing what is gone already is no error.
    fn remove(layout: &Layout, entry: Entry) -> Self {
        Self::service("delete", layout, entry)
    }

    fn service(verb: &'static str, layout: &Layout, service: Entry) -> Self {
        let node = layout.node().to_owned();
        Self::Service(ServiceOperation { verb, node, service })
    }

    /// Only if the key is still at `index`; 0: only if there is none.
    pub(super) fn set(key: &str, value: &[u8], index: u64) -> Self {
        Self::key("cas", key, value, index)
    }

    fn unset(key: &str, index: u64) -> Self {
        Self::key("delete-cas", key, &[], index)
    }

    /// Fails, and the transaction with it, unless the key is at `index`.
    pub(super) fn check(key: &str, index: u64) -> Self {
        Self::key("check-index", key, &[], index)
    }

    fn key(verb: &'static str, key: &str, value: &[u8], index: u64) -> Self {
        Self::Key(KeyOperation { verb, key: key.to_owned(), value: STANDARD.encode(value), index })
    }
}

/// The transactions that do `diff`: one, unless the service is larger than a transaction may be. Then
/// instances are put before the route is published, and removed after.
pub(super) fn transactions(
    layout: &Layout,
    diff: &Diff,
    indices: &BTreeMap<String, u64>,
) -> Vec<Vec<Operation>> {
    let index = |key: &String| indices.get(key).copied().unwrap_or(0);
    let put = |entry: &Entry| Operation::put(layout, entry.clone());
    let puts: Vec<_> = diff.put.iter().map(put).collect();
    let set = diff.set.iter().map(|(key, value)| Operation::set(key, value, index(key)));
    let unset = diff.unset.iter().map(|key| Operation::unset(key, index(key)));
    let remove = |entry: &Entry| Operation::remove(layout, entry.clone());
    let mut rest: Vec<_> = set.chain(unset).collect();
    rest.extend(diff.remove.iter().map(remove));

    let mut transactions: Vec<Vec<Operation>> =
        puts.chunks(LARGEST - 1).map(|puts| [&[Operation::node(layout)], puts].concat()).collect();
    match transactions.last_mut() {
        Some(last) if last.len() + rest.len() <= LARGEST => last.append(&mut rest),
        _ => transactions.extend(rest.chunks(LARGEST).map(<[_]>::to_vec)),
    }
    transactions
}

/// Do `diff`, unless a key has changed since it was at its index.
pub(super) async fn commit(
    client: &Client,
    layout: &Layout,
    diff: &Diff,
    indices: &BTreeMap<String, u64>,
) -> Result<(), CallError> {
    for transaction in transactions(layout, diff, indices) {
        run(client, &transaction).await?;
    }
    Ok(())
}

/// Do all of `operations`, or none.
pub(super) async fn run(client: &Client, operations: &[Operation]) -> Result<(), CallError> {
    client.put("txn", &operations).await.map(drop)
}

/// Why Consul did not do an operation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Objection {
    /// Which.
    pub(super) op_index: usize,
    /// In Consul's words.
    pub(super) what: String,
}

impl Objection {
    pub(super) fn is_stale(&self) -> bool {
        self.what.contains("index is stale")
    }

    pub(super) fn is_denied(&self) -> bool {
        self.what.contains("Permission denied")
    }
}
