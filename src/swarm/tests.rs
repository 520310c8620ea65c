//! Against an engine of a few canned answers.

use std::path::Path;

use wiremock::matchers::{method, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::docker::Settings;
use crate::model::{self, Instance};

const NAME: &str = "books-green";

fn digest() -> String {
    format!("sha256:{}", "a".repeat(64))
}

fn release() -> Release {
    let mut draft = model::fixture::draft();
    draft.service = "books".parse().unwrap();
    let image = draft.image.pin(&digest());
    draft.pin(image)
}

fn spec(labels: &Value, replicas: u64) -> Value {
    json!({
        "Name": NAME,
        "Labels": labels,
        "Mode": { "Replicated": { "Replicas": replicas } },
        "TaskTemplate": { "ContainerSpec": { "Image": format!("registry:5000/books@{}", digest()) } },
    })
}

fn ours(replicas: u64) -> Value {
    spec(&json!({ labels::MANAGED_BY: labels::VERDIGRIS }), replicas)
}

/// An engine whose Swarm has one service, without tasks.
async fn engine(spec: &Value) -> MockServer {
    let server = MockServer::start().await;
    let service = json!({ "ID": "s1", "Version": { "Index": 7 }, "Spec": spec });
    let version = json!({ "ApiVersion": "1.51", "MinAPIVersion": "1.24" });
    for (path, answer) in [
        ("/version$", version),
        ("/services/[^/]+$", service),
        ("/tasks$", json!([])),
        ("/(networks|secrets|configs)$", json!([])),
    ] {
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        Mock::given(method("GET")).and(path_regex(path)).respond_with(answer).mount(&server).await;
    }
    for verb in ["POST", "DELETE"] {
        let done = ResponseTemplate::new(200).set_body_json(json!({}));
        Mock::given(method(verb)).respond_with(done).mount(&server).await;
    }
    server
}

fn swarm(server: &MockServer, docker_config: &Path) -> DockerSwarm {
    let host = format!("tcp://{}", server.address());
    let docker_config = Some(docker_config.to_owned());
    DockerSwarm::new(Client::new(&Settings { host, tls: None, docker_config }).unwrap())
}

/// The requests that change something: method, path, and whether credentials came with it.
async fn changes(server: &MockServer) -> Vec<(String, String, bool)> {
    let requests = server.received_requests().await.unwrap();
    let changes = requests.iter().filter(|request| request.method.as_str() != "GET");
    let told = changes.map(|request| {
        let path = request.url.path().trim_start_matches("/v1.51").to_owned();
        (request.method.to_string(), path, request.headers.contains_key("x-registry-auth"))
    });
    told.collect()
}

#[tokio::test]
async fn what_somebody_else_made_is_never_touched() {
    let server = engine(&spec(&json!({ "owner": "somebody" }), 1)).await;
    let directory = tempfile::tempdir().unwrap();
    let swarm = swarm(&server, directory.path());

    // Nothing of ours is there: that is what a revert to nothing asks for.
    swarm.restore(NAME, None).await.unwrap();

    let before = SwarmSnapshot { name: NAME.to_owned(), spec: ours(2) };
    for refused in [
        swarm.restore(NAME, Some(&before)).await,
        swarm.scale(NAME, 3).await,
        swarm.start(&release(), Colour::Green, DeploymentId::new()).await,
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.trouble, Trouble::Invalid, "{}", error.chain());
        assert!(error.chain().ends_with("was made by somebody else"), "{}", error.chain());
        assert!(error.remedy.unwrap().contains(NAME));
    }
    assert_eq!(changes(&server).await, []);
}

#[tokio::test]
async fn ours_is_removed() {
    let server = engine(&ours(1)).await;
    let directory = tempfile::tempdir().unwrap();
    swarm(&server, directory.path()).restore(NAME, None).await.unwrap();
    let removed = ("DELETE".to_owned(), "/services/s1".to_owned(), false);
    assert_eq!(changes(&server).await, [removed]);
}

#[tokio::test]
async fn only_a_start_needs_the_credentials() {
    let server = engine(&ours(0)).await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.json"), "{ broken").unwrap();
    let swarm = swarm(&server, directory.path());
    let before = SwarmSnapshot { name: NAME.to_owned(), spec: spec(&json!({}), 0) };
    swarm.restore(NAME, Some(&before)).await.unwrap();
    swarm.scale(NAME, 3).await.unwrap();
    let updated = ("POST".to_owned(), "/services/s1/update".to_owned(), false);
    assert_eq!(changes(&server).await, [updated.clone(), updated]);

    let refused = swarm.start(&release(), Colour::Green, DeploymentId::new()).await;
    let said = refused.unwrap_err().chain();
    assert!(said.contains("cannot read the credentials"), "{said}");
}

/// A Swarm with so many services of ours, of which each has a task with the published port `port`, and `other`
/// if that is given.
async fn many(services: u16, other: Option<u16>) -> MockServer {
    let server = MockServer::start().await;
    let list = |one: &dyn Fn(u16) -> Value| (0..services).map(one).collect::<Vec<_>>();
    let service = |number: u16| {
        let mut spec = ours(1);
        spec["Name"] = json!(format!("s{number}-green"));
        let labels = [
            (labels::SERVICE, format!("s{number}")),
            (labels::COLOUR, "green".to_owned()),
            (labels::PORT, "8080".to_owned()),
            (labels::PUBLISH, "host".to_owned()),
        ];
        for (label, value) in labels {
            spec["Labels"][label] = json!(value);
        }
        json!({ "ID": format!("id{number}"), "Version": { "Index": 1 }, "Spec": spec })
    };
    let task = |number: u16| {
        let published = [Some(30_000 + number), other].into_iter().flatten();
        let ports: Vec<Value> = published
            .map(|port| json!({ "TargetPort": 8080, "PublishedPort": port, "PublishMode": "host" }))
            .collect();
        json!({
            "ID": format!("task{number}"),
            "CreatedAt": "2026-11-21T02:07:59.769490462Z",
            "ServiceID": format!("id{number}"),
            "NodeID": "n1",
            "DesiredState": "running",
            "Spec": { "ContainerSpec": { "Image": "books" } },
            "Status": { "State": "running", "PortStatus": { "Ports": ports } },
        })
    };
    let node = json!({
        "ID": "n1",
        "Description": { "Hostname": "alpha" },
        "Status": { "State": "ready", "Addr": "10.0.0.1" },
    });
    let version = json!({ "ApiVersion": "1.51", "MinAPIVersion": "1.24" });
    for (path, answer) in [
        ("/version$", version),
        ("/services$", json!(list(&service))),
        ("/tasks$", json!(list(&task))),
        ("/nodes$", json!([node])),
    ] {
        let answer = ResponseTemplate::new(200).set_body_json(answer);
        Mock::given(method("GET")).and(path_regex(path)).respond_with(answer).mount(&server).await;
    }
    server
}

#[tokio::test]
async fn all_services_and_what_runs_of_them_are_had_by_as_many_requests_as_one() {
    let directory = tempfile::tempdir().unwrap();
    for services in [1, 50] {
        let server = many(services, None).await;
        let found = swarm(&server, directory.path()).survey().await.unwrap();
        assert_eq!(found.len(), usize::from(services));
        for Found { service, colour, snapshot, running } in found {
            assert_eq!(service.swarm_name(colour), snapshot.name);
            let number: u16 = service.as_str()[1..].parse().unwrap();
            let task = format!("task{number}");
            let address = ([10, 0, 0, 1], 30_000 + number).into();
            assert_eq!(running, Some(vec![Instance { task, node: "alpha".to_owned(), address }]));
        }
        let requests = server.received_requests().await.unwrap();
        let paths: Vec<&str> = requests.iter().map(|request| request.url.path()).collect();
        assert_eq!(paths.len(), 4, "version, services, tasks, nodes: {paths:?}");
    }
}

#[tokio::test]
async fn an_address_that_has_to_be_asked_for_is_left_to_the_look_at_one_service() {
    let server = many(1, Some(31_000)).await;
    let directory = tempfile::tempdir().unwrap();
    let swarm = swarm(&server, directory.path());
    assert_eq!(swarm.survey().await.unwrap()[0].running, None);
    swarm.remember("task0", ([10, 0, 0, 1], 31_000).into());
    let running = swarm.survey().await.unwrap().remove(0).running.unwrap();
    assert_eq!(running[0].address, ([10, 0, 0, 1], 31_000).into());
}
