//! Status, services, proxies, findings.

use serde_json::{Value, json};
use verdigris::deploy::control::{Finding, Rendered, Severity};
use verdigris::model::{Happening, Outcome, ReleaseId};

use crate::BASE;
use crate::support::daemon::Daemon;
use crate::support::samples;

async fn get(daemon: &Daemon, path: &str) -> (u16, Value) {
    let response = daemon.http().get(format!("{BASE}{path}")).send().await.unwrap();
    (response.status().as_u16(), crate::json(response).await)
}

#[tokio::test]
async fn services_and_proxies_are_shown_as_they_stand() {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    let (status, all) = get(&daemon, "/v1/status").await;
    assert_eq!(status, 200);
    assert_eq!(all, serde_json::to_value(samples::status()).unwrap());
    let (_, one) = get(&daemon, "/v1/status?service=films-ms").await;
    assert_eq!(one["services"].as_array().unwrap().len(), 1);
    let (status, refusal) = get(&daemon, "/v1/status?service=no-ms").await;
    assert_eq!((status, refusal["kind"].as_str()), (404, Some("unknown")));
}

#[tokio::test]
async fn a_service_tells_its_colour_and_its_instances() {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    let (_, live) = get(&daemon, "/v1/services/books-ms/colour").await;
    let expected = json!({ "service": "books-ms", "colour": "blue", "source": "registry" });
    assert_eq!(live, expected);
    let (_, instances) = get(&daemon, "/v1/services/books-ms/instances").await;
    assert_eq!(instances[0]["instance"]["address"], "10.0.0.2:32768");
    assert_eq!(instances[2]["standing"], "idle");
    assert_eq!(get(&daemon, "/v1/services/no-ms/colour").await.0, 404);
}

#[tokio::test]
async fn while_the_registry_is_away_the_proxies_say_what_is_live() {
    let daemon = Daemon::start().await;
    {
        let mut state = daemon.fake.state();
        state.status = samples::status();
        state.status.registry = Some("cannot read `books-ms`: nobody answers".to_owned());
        state.status.services[1].live = None;
    }
    let (status, live) = get(&daemon, "/v1/services/books-ms/colour").await;
    assert_eq!(
        (status, &live["colour"], &live["source"]),
        (200, &json!("blue"), &json!("proxies"))
    );
    for path in ["films-ms/colour", "books-ms/instances"] {
        let (status, refusal) = get(&daemon, &format!("/v1/services/{path}")).await;
        assert_eq!((status, &refusal["kind"]), (503, &json!("unreachable")), "{path}");
        assert_eq!(refusal["message"], "cannot read `books-ms`: nobody answers");
    }
}

#[tokio::test]
async fn the_releases_that_were_live_are_listed_once_each() {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    for (release, outcome) in [
        ("000000000001", Outcome::Committed),
        ("a1b2c3d4e5f6", Outcome::Committed),
        ("000000000001", Outcome::Committed),
        ("3f9c2a71b0de", Outcome::Unchanged),
        ("a1b2c3d4e5f6", Outcome::Committed),
    ] {
        let mut view = samples::view("books-ms");
        view.release = Some(ReleaseId::from(release.to_owned()));
        let id = daemon.fake.open(view);
        daemon.fake.tell(id, None, Happening::Ended { outcome });
    }
    let (_, releases) = get(&daemon, "/v1/services/books-ms/releases").await;
    let listed: Vec<(&str, bool, bool)> = releases
        .as_array()
        .unwrap()
        .iter()
        .map(|past| {
            let runs = !past["colour"].is_null();
            (past["release"].as_str().unwrap(), past["live"].as_bool().unwrap(), runs)
        })
        .collect();
    assert_eq!(listed, [("a1b2c3d4e5f6", true, true), ("000000000001", false, false)]);
}

#[tokio::test]
async fn a_proxy_is_rendered_by_its_name_whatever_that_is() {
    let daemon = Daemon::start().await;
    for name in ["edge-nginx", "edge 1/2"] {
        daemon.fake.state().rendered.push(Rendered {
            proxy: name.to_owned(),
            text: Some("events {}".to_owned()),
            current: None,
            differs: true,
            problem: None,
        });
        let rendered = daemon.client().render(name).await.unwrap();
        assert_eq!(rendered.proxy, name);
    }
    assert_eq!(get(&daemon, "/v1/proxies/none/render").await.0, 404);
}

#[tokio::test]
async fn the_doctor_tells_what_was_found() {
    let daemon = Daemon::start().await;
    daemon.fake.state().findings = vec![Finding {
        subject: "swarm".to_owned(),
        severity: Severity::Bad,
        message: "not a manager".to_owned(),
        remedy: Some("docker swarm init".to_owned()),
    }];
    let (_, findings) = get(&daemon, "/v1/doctor").await;
    assert_eq!(findings[0]["severity"], "bad");
}

#[tokio::test]
async fn a_client_can_ask_what_it_may() {
    let daemon = Daemon::start().await;
    let (_, caller) = get(&daemon, "/v1/caller").await;
    assert_eq!(caller["scopes"], json!(["read", "deploy", "operate"]));
    let request = crate::http_over_tcp().get(daemon.url("/v1/caller"));
    let books = crate::json(request.bearer_auth("books-token").send().await.unwrap()).await;
    assert_eq!(books["services"], json!(["books-*"]));
    let request = crate::http_over_tcp().get(daemon.url("/v1/caller"));
    let read = crate::json(request.bearer_auth("read-token").send().await.unwrap()).await;
    assert_eq!(read["scopes"], json!(["read"]));
}
