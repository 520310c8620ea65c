//! Listeners, limits, and what surrounds every answer.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use verdigris::api::{BindError, Listener};
use verdigris::client::{Client, ClientError};
use verdigris::model::ExitCode;

use crate::support::daemon::{Daemon, READ};
use crate::support::samples;
use crate::{BASE, json as read};

#[tokio::test]
async fn the_socket_is_for_owner_and_group_and_goes_with_the_daemon() {
    let daemon = Daemon::start().await;
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let socket = daemon.socket.clone();
    let (_directory, _) = daemon.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_socket_that_a_dead_daemon_left_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("verdigris.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listener = Listener::unix(&path).await.unwrap();
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
    drop(listener);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
}

#[tokio::test]
async fn a_socket_in_use_and_another_file_are_left_alone() {
    let daemon = Daemon::start().await;
    let error = Listener::unix(&daemon.socket).await.unwrap_err();
    assert!(matches!(error, BindError::InUse(_)), "{error}");
    assert!(daemon.client().status(None).await.is_ok(), "the first one goes on");
    let file = daemon.directory.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    let error = Listener::unix(&file).await.unwrap_err();
    assert!(matches!(error, BindError::NotASocket(_)), "{error}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let nowhere = daemon.directory.path().join("no/such/directory/socket");
    let error = Listener::unix(&nowhere).await.unwrap_err();
    assert!(error.to_string().contains("no/such/directory/socket"), "{error}");
    let taken = Listener::tcp(daemon.tcp).await.unwrap_err();
    assert!(taken.to_string().contains(&daemon.tcp.to_string()), "{taken}");
}

#[tokio::test]
async fn readiness_follows_the_daemon() {
    let daemon = Daemon::start().await;
    let ask = || daemon.http().get(format!("{BASE}/readyz")).send();
    let response = ask().await.unwrap();
    assert_eq!(response.status(), 503);
    assert_eq!(read(response).await["kind"], "unreachable");
    daemon.ready.send_replace(true);
    assert_eq!(ask().await.unwrap().status(), 200);
    daemon.ready.send_replace(false);
    assert_eq!(ask().await.unwrap().status(), 503);
}

#[tokio::test]
async fn metrics_are_shown_to_whoever_may_read() {
    let daemon = Daemon::start().await;
    let request = daemon.http_over_tcp().get(daemon.url("/metrics")).bearer_auth(READ);
    let response = request.send().await.unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = response.text().await.unwrap();
    assert!(text.contains("verdigris_deployments_total 1\n"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn a_defect_in_one_answer_harms_no_other_and_shows_nothing() {
    let daemon = Daemon::start().await;
    daemon.fake.state().panic_on_doctor = true;
    let response = daemon.http().get(format!("{BASE}/v1/doctor")).send().await.unwrap();
    assert_eq!(response.status(), 500);
    let text = response.text().await.unwrap();
    assert!(text.contains("\"internal\"") && !text.contains("secret defect"), "{text}");
    assert!(daemon.client().status(None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_not_waited_for_for_ever() {
    let daemon = Daemon::start().await;
    daemon.fake.state().hang_on_doctor = true;
    let response = daemon.http().get(format!("{BASE}/v1/doctor")).send().await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(read(response).await["message"].as_str().unwrap().contains("no answer within 60 s"));
}

#[tokio::test]
async fn long_answers_are_compressed_on_request_and_none_are_cached() {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    let request = daemon.http().get(format!("{BASE}/v1/status")).header("accept-encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn the_document_describes_every_path_with_its_types() {
    let daemon = Daemon::start().await;
    let response = daemon.http().get(format!("{BASE}/v1/openapi.json")).send().await.unwrap();
    let document = read(response).await;
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let text = document.to_string();
    let mut rest = text.as_str();
    let mut references = 0;
    while let Some(at) = rest.find("\"#/components/schemas/") {
        rest = &rest[at + "\"#/components/schemas/".len()..];
        let name = &rest[..rest.find('"').unwrap()];
        assert!(!document["components"]["schemas"][name].is_null(), "{name} is not described");
        references += 1;
    }
    assert!(references > 50, "{references}");
    let submit = &document["paths"]["/v1/deployments"]["post"];
    assert!(!submit["requestBody"].is_null() && !submit["responses"]["202"].is_null());
    assert_eq!(document["security"], json!([{ "token": [] }]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_says_what_it_wants_is_let_go() {
    let daemon = Daemon::start().await;
    let mut idle = tokio::net::TcpStream::connect(daemon.tcp).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").await.unwrap();
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(60), idle.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "it was waited for");
}

#[tokio::test]
async fn the_client_says_what_it_cannot_reach_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let address = format!("unix:{}/no.sock", directory.path().display());
    let client = Client::new(address.parse().unwrap(), None).unwrap();
    let error = client.status(None).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Unreachable);
    let expected =
        format!("cannot reach the daemon at `{address}`: No such file or directory (os error 2)");
    assert_eq!(error.to_string(), expected);
    assert!(error.remedy().unwrap().contains("verdigris serve"));
}

#[tokio::test]
async fn something_else_that_answers_is_not_taken_for_the_daemon() {
    let server = wiremock::MockServer::start().await;
    let client = Client::new(server.uri().parse().unwrap(), None).unwrap();
    let error = client.status(None).await.unwrap_err();
    assert!(matches!(error, ClientError::Unexpected { .. }), "{error:?}");
    assert!(error.to_string().contains(&server.uri()), "{error}");
}
