//! A Swarm task as the engine shows it, and what it means to a deployment. Pure.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::node::Node;
use crate::deploy::ports::PortWanted;
use crate::model::{Task, TaskState};

/// A task as `/tasks` lists it: what of it matters here. `S` is what of its spec is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawTask<S = Value> {
    #[serde(rename = "ID")]
    pub id: String,
    pub created_at: Timestamp,
    #[serde(default)]
    pub slot: i64,
    #[serde(rename = "NodeID", default)]
    pub node: String,
    #[serde(rename = "ServiceID", default)]
    pub service: String,
    /// What it was made from; equals the service's `TaskTemplate` as long as that is so.
    #[serde(default)]
    pub spec: S,
    pub status: Status,
    #[serde(default)]
    pub desired_state: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub networks_attachments: Vec<Attachment>,
}

/// As much of a task's spec as it takes to know where the task answers.
pub trait Attached {
    /// The network that it names first.
    fn first_network(&self) -> Option<&str>;
}

impl Attached for Value {
    fn first_network(&self) -> Option<&str> {
        self.pointer("/Networks/0/Target").and_then(Self::as_str)
    }
}

/// The networks of a task, without the rest of its spec: of many tasks that is much to read.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Networks {
    #[serde(default, deserialize_with = "null_is_empty")]
    networks: Vec<Target>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    target: Option<String>,
}

impl Attached for Option<Networks> {
    fn first_network(&self) -> Option<&str> {
        self.as_ref()?.networks.first()?.target.as_deref()
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    pub state: String,
    #[serde(default)]
    pub err: String,
    #[serde(rename = "ContainerStatus")]
    pub container: Option<ContainerStatus>,
    #[serde(rename = "PortStatus")]
    pub ports: Option<PortStatus>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ContainerStatus {
    #[serde(rename = "ContainerID", default)]
    pub id: String,
    #[serde(rename = "ExitCode", default)]
    pub exit_code: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PortStatus {
    #[serde(default, deserialize_with = "null_is_empty")]
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Port {
    #[serde(rename = "TargetPort", default)]
    pub target: u16,
    #[serde(rename = "PublishedPort", default)]
    pub published: u16,
    #[serde(rename = "PublishMode", default)]
    pub mode: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attachment {
    pub network: Network,
    #[serde(default, deserialize_with = "null_is_empty")]
    pub addresses: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Network {
    #[serde(rename = "ID", default)]
    pub id: String,
    #[serde(rename = "Spec", default)]
    pub spec: NetworkSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NetworkSpec {
    #[serde(default)]
    pub ingress: bool,
}

impl RawTask {
    /// What it means; `template` is the service's present `TaskTemplate`.
    pub fn to_task(&self, template: &Value, node: Option<&Node>, wanted: &PortWanted) -> Task {
        let state = self.state();
        let ended = matches!(state, TaskState::Failed | TaskState::Stopped);
        let container = self.status.container.as_ref();
        let container = container.filter(|container| !container.id.is_empty());
        Task {
            id: self.id.clone(),
            slot: self.slot,
            node: self.home(node),
            state,
            rejected: self.status.state == "rejected",
            wanted: self.is_wanted(),
            error: self.status.err.clone(),
            exit_code: container.filter(|_| ended).map(|container| container.exit_code),
            container: container.map(|container| container.id.clone()),
            current: self.is_made_from(template),
            address: match state {
                TaskState::Running => self.addresses(node, wanted).first().copied(),
                _ => None,
            },
        }
    }

    /// Made from `template`. As Swarm itself judges it, a change of placement alone leaves a task as
    /// it is; and the engine shows the runtime of services only.
    pub fn is_made_from(&self, template: &Value) -> bool {
        let essence = |spec: &Value| {
            let mut members = spec.as_object().cloned().unwrap_or_default();
            members.retain(|name, _| name != "Runtime" && name != "Placement");
            members
        };
        essence(&self.spec) == essence(template)
    }
}

impl<S> RawTask<S> {
    /// The name of its node, which is `node` if that is known.
    pub fn home(&self, node: Option<&Node>) -> String {
        node.map_or_else(|| self.node.clone(), |node| node.hostname.clone())
    }

    /// One that was asked to end says `shutdown`; whatever else a task of a service ends with, also
    /// exit code 0, it has ended by itself and is replaced.
    pub fn state(&self) -> TaskState {
        match self.status.state.as_str() {
            "running" => TaskState::Running,
            "failed" | "rejected" | "orphaned" | "complete" => TaskState::Failed,
            "shutdown" | "remove" => TaskState::Stopped,
            _ => TaskState::Starting,
        }
    }

    /// It has not ended (as far as its node tells).
    pub fn is_alive(&self) -> bool {
        matches!(self.state(), TaskState::Starting | TaskState::Running)
    }

    /// A task that waits for its restart delay is `ready` before it is wanted `running`.
    pub fn is_wanted(&self) -> bool {
        matches!(self.desired_state.as_str(), "running" | "ready" | "accepted")
    }
}

impl<S: Attached> RawTask<S> {
    /// Where it may answer, the likeliest first. A host port can be listed twice, once for IPv4 and
    /// once for IPv6, with different numbers and no word which is which.
    pub fn addresses(&self, node: Option<&Node>, wanted: &PortWanted) -> Vec<SocketAddr> {
        match *wanted {
            PortWanted::Host(port) => {
                let Some(address) = node.and_then(|node| node.address) else {
                    return Vec::new();
                };
                let ports = self.host_ports(port).into_iter();
                ports.map(|port| SocketAddr::new(address, port)).collect()
            }
            PortWanted::Overlay(port) => {
                let address = self.overlay_address();
                address.map(|ip| SocketAddr::new(ip, port)).into_iter().collect()
            }
        }
    }

    fn host_ports(&self, target: u16) -> Vec<u16> {
        let mut ports = Vec::new();
        let published = self.status.ports.iter().flat_map(|status| &status.ports);
        for port in published.filter(|port| port.target == target && port.mode == "host") {
            if port.published != 0 && !ports.contains(&port.published) {
                ports.push(port.published);
            }
        }
        ports
    }

    /// On the first network that the service names; attachments come in an order of their own.
    fn overlay_address(&self) -> Option<IpAddr> {
        let first = self.spec.first_network();
        let attachments = &self.networks_attachments;
        let named = attachments.iter().find(|one| Some(one.network.id.as_str()) == first);
        let attachment =
            named.or_else(|| attachments.iter().find(|one| !one.network.spec.ingress))?;
        let address = attachment.addresses.first()?;
        address.split('/').next()?.parse().ok()
    }
}

/// The engine writes `null` for an empty list now and then.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;
