//! Things to show.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use verdigris::model::{
    Colour, DeploymentId, DeploymentView, Draft, Failure, FailureKind, Happening, Instance,
    Outcome, Phase, ProxyStatus, Registration, ReleaseId, Route, RouteRule, ServiceStatus,
    Standing, Status, Step,
};

use super::fake::Scene;

pub fn view(service: &str) -> DeploymentView {
    let now = Timestamp::now();
    DeploymentView {
        id: DeploymentId::new(),
        service: service.parse().unwrap(),
        kind: "deploy".to_owned(),
        by: "jane@ci".to_owned(),
        sequence: None,
        opened: now,
        ended: None,
        phase: Phase::Deploying,
        colour: Some(Colour::Green),
        previous: Some(Colour::Blue),
        release: Some(ReleaseId::from("3f9c2a71b0de".to_owned())),
        image: Some(format!("127.0.0.1:5000/{service}:2.0@sha256:{}", "ab".repeat(32))),
        steps: Vec::new(),
        failure: None,
        outcome: None,
        switch_micros: None,
        deadline: now + SignedDuration::from_mins(15),
    }
}

pub fn service(name: &str) -> ServiceStatus {
    let release = |id: &str| ReleaseId::from(id.to_owned());
    let instance = |task: &str, colour, standing, port: u16| Registration {
        instance: Instance {
            task: task.to_owned(),
            node: "node-1".to_owned(),
            address: ([10, 0, 0, 2], port).into(),
        },
        colour,
        standing,
        release: release(if colour == Colour::Blue { "a1b2c3d4e5f6" } else { "3f9c2a71b0de" }),
        image: format!("127.0.0.1:5000/{name}@sha256:{}", "cd".repeat(32)),
    };
    ServiceStatus {
        service: name.parse().unwrap(),
        live: Some(Colour::Blue),
        releases: BTreeMap::from([
            (Colour::Blue, release("a1b2c3d4e5f6")),
            (Colour::Green, release("3f9c2a71b0de")),
        ]),
        images: BTreeMap::from([
            (Colour::Blue, format!("127.0.0.1:5000/{name}:1.0")),
            (Colour::Green, format!("127.0.0.1:5000/{name}:2.0")),
        ]),
        instances: vec![
            instance("t1", Colour::Blue, Standing::Live, 32768),
            instance("t2", Colour::Blue, Standing::Live, 32769),
            instance("t3", Colour::Green, Standing::Idle, 32770),
        ],
        route: Some(Route {
            gives_up: None,
            generation: 7,
            rule: Some(RouteRule {
                hosts: vec![format!("{name}.example.com")],
                path: "/api/v1/books".to_owned(),
                tls: true,
            }),
            weights: BTreeMap::from([(Colour::Blue, 100)]),
            releases: BTreeMap::from([(Colour::Blue, "a1b2c3d4e5f6".to_owned())]),
        }),
        deployment: None,
        drift: Vec::new(),
        mended: Vec::new(),
    }
}

pub fn status() -> Status {
    let proxy = |name: &str, kind: &str| ProxyStatus {
        name: name.to_owned(),
        kind: kind.to_owned(),
        in_sync: true,
        reloads: 1,
        problem: None,
    };
    Status {
        services: vec![service("books-ms"), service("films-ms")],
        proxies: vec![proxy("edge-nginx", "nginx"), proxy("edge-haproxy", "haproxy")],
        problems: Vec::new(),
        registry: None,
    }
}

pub fn failure(step: Step, kind: FailureKind, message: &str) -> Failure {
    Failure { step, kind, message: message.to_owned(), details: Vec::new(), remedy: None }
}

pub fn scene(step: impl Into<Option<Step>>, what: Happening) -> Scene {
    Scene { pause: Duration::ZERO, step: step.into(), what }
}

pub fn done(note: &str) -> Happening {
    Happening::Done { note: note.to_owned() }
}

/// Every step passes.
pub fn success() -> Vec<Scene> {
    let mut script = Vec::new();
    for step in Step::ALL {
        script.push(scene(step, Happening::Began));
        if let Some(point) = step.gate_point() {
            let gate = format!("{point} tests");
            script
                .push(scene(step, Happening::Output { gate: gate.clone(), line: "ok".to_owned() }));
            let verdict = Happening::Gate { gate, millis: 1234, failure: None, junit: vec![] };
            script.push(scene(step, verdict));
        }
        match step {
            Step::Approve | Step::Bake => {
                script.push(scene(step, Happening::Skipped { why: "not asked for".to_owned() }));
            }
            _ => script.push(scene(step, done(""))),
        }
    }
    script.push(scene(None, Happening::Ended { outcome: Outcome::Committed }));
    script
}

/// `step` fails with `failure`; start is undone.
pub fn reverted(failure: &Failure) -> Vec<Scene> {
    vec![
        scene(Step::Prepare, Happening::Began),
        scene(Step::Prepare, done("release 3f9c2a71b0de to green")),
        scene(Step::Start, Happening::Began),
        scene(Step::Start, done("")),
        scene(failure.step, Happening::Began),
        scene(failure.step, Happening::Failed { failure: failure.clone() }),
        scene(Step::Start, Happening::Undoing),
        scene(Step::Start, Happening::Undone),
        scene(None, Happening::Ended { outcome: Outcome::Reverted { failure: failure.clone() } }),
    ]
}

/// A draft as a client sends it.
pub fn draft() -> Draft {
    serde_json::from_value(draft_json()).unwrap()
}

pub fn draft_json() -> Value {
    json!({
        "service": "books-ms",
        "image": "127.0.0.1:5000/books-ms:2.0",
        "workload": { "replicas": 2 },
        "policy": {
            "port": 8080,
            "publish": "host",
            "route": { "hosts": ["books.example.com"], "path": "/", "tls": true },
            "gates": {
                "pre_deployment": [],
                "pre_integration": [{
                    "name": "health",
                    "check": { "http": {
                        "method": "GET", "path": "/health", "status": 200, "body": null,
                        "headers": {}, "max_time": null, "attempts": 1
                    } },
                    "timeout": "10m"
                }],
                "post_integration": []
            },
            "stable_for": "2s",
            "approve": null,
            "bake": null,
            "drain": "30s",
            "retain": { "releases": 1, "scale": 0, "for": "1h" },
            "deadline": "15m"
        }
    })
}

pub fn request_json() -> Value {
    json!({ "kind": "deploy", "draft": draft_json() })
}

pub fn rollback_json() -> Value {
    json!({ "kind": "rollback", "service": "books-ms", "release": null })
}
