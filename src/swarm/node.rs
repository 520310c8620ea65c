//! The nodes of the Swarm: pure reading, and a cache for names and addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::models::{Node as RawNode, NodeSpecAvailabilityEnum, NodeState};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::docker::{Client, Error};

/// A node, what of it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "RawNode")]
pub struct Node {
    /// Swarm's id.
    pub id: String,
    /// Its host name.
    pub hostname: String,
    /// Where its published ports answer.
    pub address: Option<IpAddr>,
    /// It answers to the managers.
    pub ready: bool,
    /// It takes new tasks (neither paused nor drained).
    pub active: bool,
    /// `manager` or `worker`.
    pub role: String,
    /// `node.labels.*`
    pub labels: BTreeMap<String, String>,
    /// `engine.labels.*`
    pub engine_labels: BTreeMap<String, String>,
    /// `node.platform.os`
    pub os: String,
}

/// How long an address is believed: nodes come back with another one now and then.
const FRESH: Duration = Duration::from_secs(30);

/// A node that is not known is not asked for more often than this: it may be gone for good.
const AGAIN: Duration = Duration::from_secs(1);

type ById = Arc<HashMap<String, Node>>;

/// Nodes by id, asked for once for all who wait.
pub struct Nodes {
    client: Client,
    known: Mutex<Option<(Instant, ById)>>,
}

impl Nodes {
    pub fn new(client: Client) -> Self {
        Self { client, known: Mutex::new(None) }
    }

    /// Those that are known, `wanted` among them if they exist.
    pub async fn with<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> Result<ById, Error> {
        // Held while asking, so that those who come meanwhile get the same answer.
        let mut known = self.known.lock().await;
        if let Some((at, nodes)) = &*known {
            let complete = wanted.into_iter().all(|id| nodes.contains_key(id));
            if at.elapsed() < if complete { FRESH } else { AGAIN } {
                return Ok(Arc::clone(nodes));
            }
        }
        let nodes = list(&self.client).await?.into_iter();
        let nodes: HashMap<_, _> = nodes.map(|node| (node.id.clone(), node)).collect();
        let nodes = Arc::new(nodes);
        *known = Some((Instant::now(), Arc::clone(&nodes)));
        Ok(nodes)
    }
}

/// All nodes, as they are now.
pub async fn list(client: &Client) -> Result<Vec<Node>, Error> {
    client.get("/nodes").value().await
}

impl From<RawNode> for Node {
    fn from(raw: RawNode) -> Self {
        let spec = raw.spec.unwrap_or_default();
        let description = raw.description.unwrap_or_default();
        let status = raw.status.unwrap_or_default();
        let manager = raw.manager_status.and_then(|status| status.addr);
        let engine = description.engine.unwrap_or_default();
        Self {
            address: address(status.addr.as_deref().unwrap_or_default(), manager.as_deref()),
            id: raw.id.unwrap_or_default(),
            hostname: description.hostname.unwrap_or_default(),
            ready: status.state == Some(NodeState::READY),
            active: spec.availability == Some(NodeSpecAvailabilityEnum::ACTIVE),
            role: spec.role.map(|role| role.to_string()).unwrap_or_default(),
            labels: spec.labels.unwrap_or_default().into_iter().collect(),
            engine_labels: engine.labels.unwrap_or_default().into_iter().collect(),
            os: description.platform.and_then(|platform| platform.os).unwrap_or_default(),
        }
    }
}

/// A manager that was told to listen anywhere says `0.0.0.0` of itself; the address that it
/// advertises to the other managers is the one to use then.
fn address(status: &str, manager: Option<&str>) -> Option<IpAddr> {
    let own = status.parse().ok().filter(|ip: &IpAddr| !ip.is_unspecified());
    own.or_else(|| Some(manager?.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_manager_that_listens_anywhere_is_found_where_it_advertises() {
        let read = |status: &str, manager: Option<&str>| -> Node {
            serde_json::from_value(json!({
                "ID": "n1",
                "Spec": { "Role": "manager", "Availability": "active", "Labels": null },
                "Description": { "Hostname": "alpha", "Engine": {} },
                "Status": { "State": "ready", "Addr": status },
                "ManagerStatus": manager.map(|addr| json!({ "Leader": true, "Addr": addr })),
            }))
            .unwrap()
        };
        let at = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        assert_eq!(read("0.0.0.0", Some("10.0.0.5:2377")).address, at("10.0.0.5"));
        assert_eq!(read("0.0.0.0", Some("[fd00::5]:2377")).address, at("fd00::5"));
        assert_eq!(read("10.0.0.6", None).address, at("10.0.0.6"));
        assert_eq!(read("0.0.0.0", None).address, None);
        assert!(read("10.0.0.6", None).ready);
    }
}
