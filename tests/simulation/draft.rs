//! What is deployed in the simulated world.

use std::time::Duration;

use verdigris::model::{
    Check, CommandCheck, Draft, Gate, Gates, Kind, OnBusy, OnDisconnect, Policy, Publish, Request,
    Retain, RouteRule, ServiceName, Workload,
};

pub fn service() -> ServiceName {
    "books-ms".parse().expect("a name")
}

/// Another service beside it.
pub fn neighbour(image: &str) -> Draft {
    let mut draft = draft(image);
    draft.service = "other-ms".parse().expect("a name");
    let route = draft.policy.route.as_mut().expect("a route");
    route.hosts = vec!["other.example.com".to_owned()];
    draft
}

pub fn gate(name: &str) -> Gate {
    let check = Check::Command(CommandCheck { argv: vec![name.to_owned()], env: [].into() });
    Gate { name: name.to_owned(), check, timeout: Duration::from_secs(30) }
}

pub fn draft(image: &str) -> Draft {
    let gates = Gates {
        pre_deployment: vec![gate("unit")],
        pre_integration: vec![gate("smoke"), gate("contract")],
        post_integration: vec![gate("public")],
    };
    let route =
        RouteRule { hosts: vec!["books.example.com".to_owned()], path: "/".to_owned(), tls: true };
    let policy = Policy {
        port: 8080,
        publish: Publish::Host,
        route: Some(route),
        gates,
        stable_for: Duration::from_secs(1),
        approve: None,
        bake: None,
        drain: Duration::from_secs(10),
        retain: Retain { releases: 0, scale: None, duration: None },
        deadline: Duration::from_secs(600),
    };
    let workload = Workload { replicas: 2, ..Workload::default() };
    Draft { service: service(), image: image.parse().expect("an image"), workload, policy }
}

pub fn request(draft: Draft) -> Request {
    Request {
        kind: Kind::Deploy { draft },
        sequence: None,
        on_busy: OnBusy::default(),
        on_disconnect: OnDisconnect::default(),
        deadline: None,
        force: false,
        by: "simulation".to_owned(),
    }
}
