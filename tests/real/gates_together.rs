//! Gates of every kind at every point of one deployment: side by side, told the truth, their reports
//! in the client's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use verdigris::model::{Event, Happening, Step};

use crate::commands::{run, written};
use crate::support::{Picture, Proxy, Registry, Stack, World};
use crate::testbed::Testbed;

const POINTS: [(&str, Step); 3] = [
    ("pre-deployment", Step::PreDeployment),
    ("pre-integration", Step::PreIntegration),
    ("post-integration", Step::PostIntegration),
];

/// Says what it is told, and takes its time, so that those that run beside it are seen to.
const TELLS: &str = "env | grep ^TEST_; sleep 2";

/// At each point a container and a command that tell, the tests of the service, and a request: before the
/// start to somebody else.
fn gated(world: &World) -> Stack {
    let shell = ["/bin/busybox", "sh", "-c"];
    let busybox = Testbed::on(&world.bed).busybox().to_string();
    let tests = world.bed.image("books-ms-tests:1.0");
    let mut gates = vec![
        json!({ "name": "container", "container": {
            "image": busybox, "entrypoint": shell, "command": [TELLS] } }),
        json!({ "name": "command", "command": ["sh", "-c", TELLS] }),
        json!({ "name": "tests", "container": { "image": tests, "env": { "TESTS_MODE": "junit" } } }),
    ];
    let images = format!("http://{}/v2/", world.bed.env("TESTBED_IMAGES"));
    let elsewhere = json!({ "name": "http", "http": { "url": images } });
    let before = [&gates[..], &[elsewhere]].concat();
    let stack = world.books("2.0").gate("pre_deployment", &before);
    gates.push(json!({ "name": "http", "http": { "path": "/api/v1/books", "body": "title" } }));
    stack.gate("pre_integration", &gates).gate("post_integration", &gates)
}

#[tokio::test(flavor = "multi_thread")]
async fn gates_of_every_kind_at_every_point() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    written(&world, &gated(&world));
    let (code, words) = run(&world, &["deploy", "--junit", "report.xml"]);
    assert_eq!(code, 0, "{words}");
    let (_, view) = run(&world, &["show", "books-ms", "--output", "json"]);
    let view: Value = serde_json::from_str(view.split("\n---").next().unwrap()).unwrap();
    let id = view["id"].as_str().unwrap().parse().unwrap();
    let events = world.client().events(id).await.unwrap();
    let picture = world.picture().await;
    for (point, step) in POINTS {
        side_by_side(&events, step, 4);
        let told = [told(&events, step, "container"), told(&events, step, "command")];
        for variables in told {
            the_truth(&world, &picture, &variables, point, step);
        }
    }
    let report = std::fs::read_to_string(world.home.join("report.xml")).unwrap();
    for name in [
        "every book has a number of its own",
        "is healthy",
        "serves books.example.com/api/v1/books",
        "books-ms-tests",
    ] {
        assert!(report.contains(name), "{name}: {report}");
    }
}

/// All gates of a point passed, and each that takes its time ran while the others did.
fn side_by_side(events: &[Event], step: Step, expected: usize) {
    let verdict = |event: &Event| match &event.what {
        Happening::Gate { gate, millis, failure: None, .. } if event.step == Some(step) => {
            let ended = event.at;
            Some((gate.clone(), ended - Duration::from_millis(*millis), ended))
        }
        _ => None,
    };
    let gates: Vec<_> = events.iter().filter_map(verdict).collect();
    assert_eq!(gates.len(), expected, "{step}: {gates:?}");
    let slow: Vec<_> =
        gates.iter().filter(|gate| ["container", "command"].contains(&&*gate.0)).collect();
    let first_end = slow.iter().map(|gate| gate.2).min().unwrap();
    assert!(gates.iter().all(|gate| gate.1 < first_end), "{step}: one after another: {gates:?}");
}

/// The variables that a gate told.
fn told(events: &[Event], step: Step, name: &str) -> BTreeMap<String, String> {
    let line = |event: &Event| match &event.what {
        Happening::Output { gate, line } if event.step == Some(step) && gate == name => {
            line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        }
        _ => None,
    };
    events.iter().filter_map(line).collect()
}

fn the_truth(
    world: &World,
    picture: &Picture,
    told: &BTreeMap<String, String>,
    point: &str,
    step: Step,
) {
    let said = |name: &str| told.get(name).map_or("", String::as_str);
    assert_eq!(said("TEST_TYPE"), point, "{told:?}");
    assert_eq!(said("TEST_SERVICE"), "books-ms");
    assert_eq!(said("TEST_COLOUR"), "green");
    assert_eq!((said("TEST_HOST"), said("TEST_PATH")), ("books.example.com", "/api/v1/books"));
    let entries: Vec<Value> = picture
        .parts("catalog books-ms ")
        .map(|(_, text)| serde_json::from_str(text).unwrap())
        .collect();
    assert!(
        entries.iter().all(|entry| entry["ServiceMeta"]["release"] == said("TEST_RELEASE")),
        "{told:?}"
    );
    assert!(said("TEST_IMAGE").starts_with(&world.bed.image("books-ms")), "{told:?}");
    assert!(said("TEST_IMAGE").contains("@sha256:"), "{told:?}");
    let list =
        |name| said(name).split(',').filter(|it| !it.is_empty()).map(str::to_owned).collect();
    let registered: BTreeSet<String> = entries
        .iter()
        .map(|entry| {
            format!("{}:{}", entry["ServiceAddress"].as_str().unwrap(), entry["ServicePort"])
        })
        .collect();
    assert_eq!(registered.len(), 2);
    let nobody = BTreeSet::new();
    let instances = if step == Step::PreDeployment { &nobody } else { &registered };
    let addresses: BTreeSet<String> = list("TEST_ADDRESSES");
    assert_eq!(&addresses, instances, "{told:?}");
    let doors = |port: u16| -> BTreeSet<String> {
        let names = world.proxy.names().iter().filter(|_| step == Step::PostIntegration);
        names.map(|proxy| format!("{}:{port}", world.bed.address(proxy))).collect()
    };
    assert_eq!((list("TEST_HTTP"), list("TEST_HTTPS")), (doors(80), doors(443)), "{told:?}");
}
