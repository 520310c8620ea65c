//! Changes as transactions of Consul.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::client::{Answer, Client};
use super::diff::Diff;
use super::error::CallError;
use super::image::{Entry, Pair};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
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

    /// Fails, and the transaction with it, if there is such a key.
    pub(super) fn check_none(key: &str) -> Self {
        Self::key("check-not-exists", key, &[], 0)
    }

    /// Fails, and the transaction with it, unless `session` has locked the key.
    pub(super) fn check_lock(key: &str, session: &str) -> Self {
        Self::locking("check-session", key, &[], session)
    }

    /// Lock the key for `session`; fails if another one has.
    pub(super) fn lock(key: &str, value: &[u8], session: &str) -> Self {
        Self::locking("lock", key, value, session)
    }

    /// Read what the keys that begin with `key` hold; no error if there is none.
    pub(super) fn read(key: &str) -> Self {
        Self::key("get-tree", key, &[], 0)
    }

    /// Unlock it; fails unless `session` has locked it.
    pub(super) fn unlock(key: &str, value: &[u8], session: &str) -> Self {
        Self::locking("unlock", key, value, session)
    }

    /// Whatever its index.
    pub(super) fn delete(key: &str) -> Self {
        Self::key("delete", key, &[], 0)
    }

    fn key(verb: &'static str, key: &str, value: &[u8], index: u64) -> Self {
        let (key, value) = (key.to_owned(), STANDARD.encode(value));
        Self::Key(KeyOperation { verb, key, value, index, session: None })
    }

    fn locking(verb: &'static str, key: &str, value: &[u8], session: &str) -> Self {
        let (key, value) = (key.to_owned(), STANDARD.encode(value));
        Self::Key(KeyOperation { verb, key, value, index: 0, session: Some(session.to_owned()) })
    }
}

/// The transactions that do `diff`: one, unless the service is larger than a transaction may be. Then
/// instances are put before the route is published, and removed after. Each begins with `guards`.
pub(super) fn transactions(
    layout: &Layout,
    diff: &Diff,
    indices: &BTreeMap<String, u64>,
    guards: &[Operation],
) -> Vec<Vec<Operation>> {
    let largest = LARGEST - guards.len();
    let index = |key: &String| indices.get(key).copied().unwrap_or(0);
    let put = |entry: &Entry| Operation::put(layout, entry.clone());
    let set = |(key, value): (&String, &Vec<u8>)| Operation::set(key, value, index(key));
    let unset = |key: &String| Operation::unset(key, index(key));
    let remove = |entry: &Entry| Operation::remove(layout, entry.clone());

    let puts: Vec<_> = diff.put.iter().map(put).collect();
    let keys = diff.set.iter().map(set).chain(diff.unset.iter().map(unset));
    let mut rest: Vec<_> = keys.chain(diff.remove.iter().map(remove)).collect();
    let mut transactions: Vec<Vec<Operation>> =
        puts.chunks(largest - 1).map(|puts| [&[Operation::node(layout)], puts].concat()).collect();
    match transactions.last_mut() {
        Some(last) if last.len() + rest.len() <= largest => last.append(&mut rest),
        _ => transactions.extend(rest.chunks(largest).map(<[_]>::to_vec)),
    }
    transactions.into_iter().map(|rest| [guards, rest.as_slice()].concat()).collect()
}

/// Do all of `operations`, or none. Answers the keys that were written.
pub(super) async fn run(client: &Client, operations: &[Operation]) -> Result<Vec<Pair>, CallError> {
    let done: Answer<Done> = client.put("txn", &operations).await?;
    let results = done.value.and_then(|done| done.results).unwrap_or_default();
    Ok(results.into_iter().filter_map(|result| result.key).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Done {
    results: Option<Vec<DoneOperation>>,
}

#[derive(Deserialize)]
struct DoneOperation {
    #[serde(rename = "KV")]
    key: Option<Pair>,
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
        let exists = self.what.starts_with("key ") && self.what.ends_with(" exists");
        let words = ["index is stale", "failed index check", "failed to check index"];
        exists || words.iter().any(|words| self.what.contains(words))
    }

    /// The fence did not hold: a session has lost its lock.
    pub(super) fn is_fence(&self) -> bool {
        self.what.contains("session check") || self.what.contains("check session")
    }

    /// Another session has the lock.
    pub(super) fn is_held(&self) -> bool {
        self.what.contains("lock is already held")
    }

    pub(super) fn is_denied(&self) -> bool {
        self.what.contains("Permission denied")
    }
}
