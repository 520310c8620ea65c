//! What would keep a workload from running, found before anything is touched.

use std::collections::BTreeMap;

use bollard::models::Network;
use serde::Deserialize;

use super::DockerSwarm;
use super::constraint::Constraint;
use super::node::{self, Node};
use super::spec::Ids;
use crate::docker::Error;
use crate::model::{Placement, Workload};

impl DockerSwarm {
    /// One line for each thing that is missing or unfit.
    pub(super) async fn obstacles(&self, workload: &Workload) -> Result<Vec<String>, Error> {
        let secrets: Vec<&str> = workload.secrets.iter().map(|s| s.name.as_str()).collect();
        let configs: Vec<&str> = workload.configs.iter().map(|c| c.name.as_str()).collect();
        let (networks, secrets_there, configs_there, nodes) = tokio::try_join!(
            self.network_obstacles(workload),
            self.named("/secrets", &secrets),
            self.named("/configs", &configs),
            node::list(&self.client),
        )?;
        let mut found = networks;
        found.extend(absent("secret", &secrets, &secrets_there));
        found.extend(absent("config", &configs, &configs_there));
        found.extend(node_obstacles(&nodes, &workload.placement, workload.replicas));
        Ok(found)
    }

    /// The ids behind what `workload` names; what does not exist is not among them.
    pub(super) async fn ids(&self, workload: &Workload) -> Result<Ids, Error> {
        let secrets: Vec<&str> = workload.secrets.iter().map(|s| s.name.as_str()).collect();
        let configs: Vec<&str> = workload.configs.iter().map(|c| c.name.as_str()).collect();
        let (secrets, configs) =
            tokio::try_join!(self.named("/secrets", &secrets), self.named("/configs", &configs))?;
        Ok(Ids { secrets, configs })
    }

    /// Secrets or configs by name, with their ids.
    async fn named(&self, path: &str, names: &[&str]) -> Result<BTreeMap<String, String>, Error> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        // The engine's filter takes beginnings of names, too.
        let call = self.client.get(path).filters(&[("name", names)]);
        let listed: Vec<Named> = call.value().await?;
        let listed = listed.into_iter().map(|one| (one.spec.name, one.id));
        Ok(listed.filter(|(name, _)| names.contains(&name.as_str())).collect())
    }

    async fn network_obstacles(&self, workload: &Workload) -> Result<Vec<String>, Error> {
        let names: Vec<&str> = workload.networks.iter().map(|n| n.name.as_str()).collect();
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.client.get("/networks").filters(&[("name", &names)]);
        let networks: Vec<Network> = call.value().await?;
        let judged = names.iter().filter_map(|name| network_obstacle(name, &networks));
        Ok(judged.collect())
    }
}

/// A secret or a config.
#[derive(Deserialize)]
pub(super) struct Named {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Spec")]
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "Name")]
    name: String,
}

/// Networks of the engine itself that tasks can join on any node.
const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

pub(super) fn network_obstacle(name: &str, networks: &[Network]) -> Option<String> {
    if PREDEFINED.contains(&name) {
        return None;
    }
    let of_that_name = networks.iter().filter(|network| network.name.as_deref() == Some(name));
    let is_ingress = |network: &Network| network.ingress == Some(true);
    let scope = |network: &Network| network.scope.clone().unwrap_or_default();
    let fit = |network: &Network| {
        scope(network) == "swarm" && !is_ingress(network) && network.config_only != Some(true)
    };
    match of_that_name.clone().next() {
        None => Some(format!(
            "network `{name}` does not exist: `docker network create --driver overlay --attachable {name}`"
        )),
        Some(_) if of_that_name.clone().any(fit) => None,
        Some(_) if of_that_name.clone().any(is_ingress) => Some(format!(
            "network `{name}` is the Swarm's ingress network, which no service can join"
        )),
        Some(network) => Some(format!(
            "network `{name}` is of scope `{}` and cannot be joined by Swarm tasks: make an overlay network instead",
            scope(network)
        )),
    }
}

fn absent(kind: &str, names: &[&str], there: &BTreeMap<String, String>) -> Vec<String> {
    let missing = names.iter().filter(|name| !there.contains_key(**name));
    missing
        .map(|name| format!("{kind} `{name}` does not exist: `docker {kind} create {name} FILE`"))
        .collect()
}

pub(super) fn node_obstacles(nodes: &[Node], placement: &Placement, replicas: u32) -> Vec<String> {
    let able: Vec<&Node> = nodes.iter().filter(|node| node.ready && node.active).collect();
    if able.is_empty() {
        let states = nodes.iter().map(describe).collect::<Vec<_>>().join(", ");
        return vec![format!("no node is ready and active ({states})")];
    }
    let constraints: Vec<Constraint> =
        placement.constraints.iter().filter_map(|text| Constraint::parse(text)).collect();
    let fit = able
        .iter()
        .filter(|node| constraints.iter().all(|constraint| constraint.allows(node)))
        .count() as u64;
    if fit == 0 {
        return vec![format!(
            "none of the {} nodes that are ready and active satisfies `{}`",
            able.len(),
            placement.constraints.join("`, `")
        )];
    }
    match placement.max_replicas_per_node {
        Some(most) if most.saturating_mul(fit) < u64::from(replicas) => vec![format!(
            "{replicas} replicas do not fit: {fit} nodes with at most {most} each (`max_replicas_per_node`)"
        )],
        _ => Vec::new(),
    }
}

fn describe(node: &Node) -> String {
    let state = match (node.ready, node.active) {
        (false, _) => "not ready",
        (true, false) => "not active",
        (true, true) => "ready",
    };
    format!("`{}` is {state}", node.hostname)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(hostname: &str, ready: bool, active: bool) -> Node {
        Node {
            id: hostname.to_owned(),
            hostname: hostname.to_owned(),
            address: None,
            ready,
            active,
            role: "worker".to_owned(),
            labels: BTreeMap::new(),
            engine_labels: BTreeMap::new(),
            os: "linux".to_owned(),
        }
    }

    #[test]
    fn there_must_be_a_node_for_every_replica() {
        let nodes =
            [node("alpha", true, true), node("beta", false, true), node("gamma", true, false)];
        let found = |placement: &Placement, replicas| node_obstacles(&nodes, placement, replicas);
        assert_eq!(found(&Placement::default(), 9), Vec::<String>::new());
        let elsewhere = Placement {
            constraints: vec!["node.hostname == beta".to_owned()],
            ..Placement::default()
        };
        assert!(found(&elsewhere, 1)[0].contains("node.hostname == beta"));
        let sparse = Placement { max_replicas_per_node: Some(2), ..Placement::default() };
        assert_eq!(found(&sparse, 2), Vec::<String>::new());
        assert!(found(&sparse, 3)[0].contains("max_replicas_per_node"));
        let none = node_obstacles(&nodes[1..], &Placement::default(), 1);
        assert_eq!(
            none,
            ["no node is ready and active (`beta` is not ready, `gamma` is not active)"]
        );
    }

    #[test]
    fn a_network_must_be_one_that_tasks_can_join() {
        let network = |name: &str, scope: &str, ingress| Network {
            name: Some(name.to_owned()),
            scope: Some(scope.to_owned()),
            ingress: Some(ingress),
            ..Default::default()
        };
        let networks = [
            network("backend", "swarm", false),
            network("backend-local", "local", false),
            network("ingress", "swarm", true),
        ];
        assert_eq!(network_obstacle("backend", &networks), None);
        assert_eq!(network_obstacle("host", &networks), None);
        let said = |name| network_obstacle(name, &networks).unwrap();
        assert!(said("back").contains("docker network create"));
        assert!(said("backend-local").contains("scope `local`"));
        assert!(said("ingress").contains("ingress"));
    }
}
