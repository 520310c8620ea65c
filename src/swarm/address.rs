//! Where a running task answers, where the task list alone does not say.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, PortBinding};
use tokio::net::TcpStream;

use super::DockerSwarm;
use super::node::Node;
use super::task::{Attached, RawTask};
use crate::deploy::ports::PortWanted;

/// To a port that nobody listens on the answer comes at once; this is for packets that vanish.
const PROBE: Duration = Duration::from_millis(500);

impl DockerSwarm {
    /// The address of a running task. Costs nothing in the usual case of one candidate.
    pub(super) async fn address(
        &self,
        task: &RawTask,
        node: Option<&Node>,
        wanted: &PortWanted,
    ) -> Option<SocketAddr> {
        let candidates = task.addresses(node, wanted);
        if let Some(known) = self.known(&task.id, &candidates) {
            return Some(known);
        }
        let Some(first) = candidates.first().copied() else {
            return self.published(task, node, wanted).await;
        };
        let Some(found) = first_open(&candidates).await else {
            return Some(first);
        };
        self.remember(&task.id, found);
        Some(found)
    }

    /// Whether a running task has an address, as far as that is known without asking further.
    pub(super) fn presumed<S: Attached>(
        &self,
        task: &RawTask<S>,
        node: Option<&Node>,
        wanted: &PortWanted,
    ) -> Presumed {
        let candidates = task.addresses(node, wanted);
        match (self.known(&task.id, &candidates), wanted) {
            (Some(address), _) => Presumed::At(address),
            (None, PortWanted::Overlay(_)) => Presumed::Nowhere,
            (None, PortWanted::Host(_)) => Presumed::Unclear,
        }
    }

    /// The one of `candidates` that `task` answers on, if there is one alone or it was found out before.
    fn known(&self, task: &str, candidates: &[SocketAddr]) -> Option<SocketAddr> {
        if let [only] = candidates {
            return Some(*only);
        }
        let known = self.lock_probed().get(task).copied();
        known.filter(|address| candidates.contains(address))
    }

    /// A task list may lack the port for a while; the container, if it is on this engine, has it.
    async fn published(
        &self,
        task: &RawTask,
        node: Option<&Node>,
        wanted: &PortWanted,
    ) -> Option<SocketAddr> {
        let PortWanted::Host(port) = *wanted else {
            return None;
        };
        let address = node?.address?;
        let container = &task.status.container.as_ref()?.id;
        let inspected = self.client.container(container.as_str()).inspect().await;
        let port = published_port(inspected.ok()?, port, address)?;
        Some(SocketAddr::new(address, port))
    }

    pub(super) fn remember(&self, task: &str, address: SocketAddr) {
        let mut probed = self.lock_probed();
        // Tasks come and go; what is forgotten is probed again.
        if probed.len() >= MOST_PROBED {
            probed.clear();
        }
        probed.insert(task.to_owned(), address);
    }
}

/// What a list of tasks tells of where one of them answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presumed {
    At(SocketAddr),
    /// It has no address.
    Nowhere,
    /// Its container or its ports have to be asked.
    Unclear,
}

/// Far more than run at a time.
const MOST_PROBED: usize = 10_000;

async fn first_open(candidates: &[SocketAddr]) -> Option<SocketAddr> {
    for candidate in candidates {
        let connecting = tokio::time::timeout(PROBE, TcpStream::connect(candidate)).await;
        if matches!(connecting, Ok(Ok(_))) {
            return Some(*candidate);
        }
    }
    None
}

/// The host port of the same address family as the node's address.
pub(super) fn published_port(
    container: ContainerInspectResponse,
    port: u16,
    address: IpAddr,
) -> Option<u16> {
    let mut ports = container.network_settings?.ports?;
    let bindings = ports.remove(&format!("{port}/tcp"))??;
    let fits = |binding: &&PortBinding| {
        let ip = binding.host_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        ip.is_none_or(|ip| ip.is_ipv4() == address.is_ipv4())
    };
    let binding = bindings.iter().find(fits).or(bindings.first())?;
    binding.host_port.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_port_of_the_nodes_address_family_is_taken() {
        let container: ContainerInspectResponse =
            serde_json::from_value(json!({ "NetworkSettings": { "Ports": { "8080/tcp": [
            { "HostIp": "::", "HostPort": "32770" },
            { "HostIp": "0.0.0.0", "HostPort": "32769" },
        ] } } }))
            .unwrap();
        let found = |port, ip: &str| published_port(container.clone(), port, ip.parse().unwrap());
        assert_eq!(found(8080, "10.0.0.1"), Some(32769));
        assert_eq!(found(8080, "fd00::1"), Some(32770));
        assert_eq!(found(9090, "10.0.0.1"), None);
    }

    #[tokio::test]
    async fn of_two_ports_the_one_that_listens_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        assert_eq!(first_open(&[closed, open]).await, Some(open));
        assert_eq!(first_open(&[closed]).await, None);
    }
}
