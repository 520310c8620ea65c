//! A deployment for tests of gates.

use std::sync::Arc;
use std::time::Duration;

use crate::deploy::ports::GateContext;
use crate::model::{
    Colour, DeploymentId, Draft, GatePoint, Gates, ImageRef, Policy, Publish, Retain, RouteRule,
    Workload,
};

/// At `point`, of a service with a route; without instances and doors.
pub fn context(point: GatePoint) -> GateContext {
    let rule = RouteRule {
        hosts: vec!["books.example.com".to_owned()],
        path: "/api".to_owned(),
        tls: true,
    };
    let policy = Policy {
        port: 8080,
        publish: Publish::Host,
        route: Some(rule),
        gates: Gates::default(),
        stable_for: Duration::ZERO,
        approve: None,
        bake: None,
        drain: Duration::ZERO,
        retain: Retain { releases: 0, scale: None, duration: None },
        deadline: Duration::from_secs(60),
    };
    let image: ImageRef = "registry:5000/books-ms:7".parse().unwrap();
    let pinned = image.pin(&format!("sha256:{}", "a".repeat(64)));
    let service = "books-ms".parse().unwrap();
    let release = Draft { service, image, workload: Workload::default(), policy }.pin(pinned);
    GateContext {
        deployment: DeploymentId::new(),
        point,
        release: Arc::new(release),
        colour: Colour::Green,
        instances: Vec::new(),
        doors: Vec::new(),
    }
}
