//! The reading of a Swarm's answers, for the fuzz targets.

use bollard::models::{
    ContainerInspectResponse, Network, Node as RawNode, SystemInfo, SystemVersion,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::node::Node;
use super::service::{Service, template};
use super::task::{Networks, RawTask};
use super::{address, doctor, events, identify, preflight, scaled, tail};
use crate::deploy::ports::PortWanted;
use crate::docker::Endpoint;
use crate::model::Placement;

/// Read `body` as everything that a Swarm answers, and go on with what it gives.
///
/// # Panics
/// When what was read contradicts itself.
pub fn answer(body: &[u8]) {
    let nodes: Vec<Node> = list::<RawNode>(body).into_iter().map(Node::from).collect();
    doctor::judge_nodes(&nodes);
    preflight::node_obstacles(&nodes, &Placement::default(), u32::MAX);
    let home = Node { address: Some([10, 0, 0, 1].into()), ..Node::from(RawNode::default()) };
    list::<RawTask>(body).iter().for_each(|one| task(one, nodes.first().unwrap_or(&home)));
    for brief in list::<RawTask<Option<Networks>>>(body) {
        let _ = brief.addresses(Some(&home), &PortWanted::Overlay(8080));
    }
    list::<Service>(body).iter().for_each(service);
    read::<Service>(body).iter().for_each(service);
    preflight::network_obstacle("backend", &list::<Network>(body));
    list::<preflight::Named>(body);
    whole(body);
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

fn list<T: DeserializeOwned>(body: &[u8]) -> Vec<T> {
    read(body).unwrap_or_default()
}

fn task(raw: &RawTask, node: &Node) {
    for wanted in [PortWanted::Host(8080), PortWanted::Overlay(8080)] {
        let task = raw.to_task(&raw.spec, Some(node), &wanted);
        assert!(task.current || !raw.spec.is_object(), "a task is not made from its own spec");
        assert!(task.address.is_none_or(|address| address.port() != 0), "{task:?}");
    }
}

fn service(found: &Service) {
    if let Some((service, colour, snapshot)) = identify(found.clone()) {
        assert_eq!(service.swarm_name(colour), snapshot.name);
    }
    let _ = (found.is_ours(), template(&found.spec));
    if let Some(changed) = scaled(&found.spec, 7) {
        assert_eq!(scaled(&changed, 7), None, "scaled twice");
    }
}

fn whole(body: &[u8]) {
    let _ = String::from_utf8_lossy(body).lines().filter_map(events::hint).count();
    let container: Option<ContainerInspectResponse> = read(body);
    let _ = container.map(|one| address::published_port(one, 8080, [10, 0, 0, 1].into()));
    drop(read::<Value>(body).and_then(|value| tail::unhealthy(&value)));
    let info: SystemInfo = read(body).unwrap_or_default();
    doctor::not_a_manager(&info.swarm.unwrap_or_default());
    let version: SystemVersion = read(body).unwrap_or_default();
    doctor::judge_version(&version, &Endpoint::Unix("/engine".into()), "engine");
}
