//! A deployment for tests of gates.

use std::sync::Arc;

use async_trait::async_trait;

use crate::deploy::ports::{GateContext, PortResult, Sight};
use crate::model::{
    self, Colour, DeploymentId, Draft, GatePoint, ImageRef, Instance, Policy, RouteRule,
};

/// No instance is seen.
struct Nobody;

#[async_trait]
impl Sight for Nobody {
    async fn instances(&self) -> PortResult<Vec<Instance>> {
        Ok(Vec::new())
    }
}

/// At `point`, of a service with a route; without instances and doors.
pub fn context(point: GatePoint) -> GateContext {
    let rule = RouteRule {
        hosts: vec!["books.example.com".to_owned()],
        path: "/api".to_owned(),
        tls: true,
    };
    let policy = Policy { route: Some(rule), ..model::fixture::policy() };
    let image: ImageRef = "registry:5000/books-ms:7".parse().unwrap();
    let pinned = image.pin(&format!("sha256:{}", "a".repeat(64)));
    let release = Draft { image, policy, ..model::fixture::draft() }.pin(pinned);
    GateContext {
        deployment: DeploymentId::new(),
        point,
        release: Arc::new(release),
        colour: Colour::Green,
        instances: Vec::new(),
        sight: Arc::new(Nobody),
        doors: Vec::new(),
    }
}
