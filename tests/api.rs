//! The HTTP API over a fake daemon: what each path takes and answers, and what it refuses.

mod support;

use serde_json::Value;
use support::daemon::Daemon;
use support::samples;

async fn body(response: reqwest::Response) -> Value {
    response.json().await.unwrap()
}

#[tokio::test]
async fn a_deployment_is_submitted_and_followed_to_its_end() {
    let daemon = Daemon::start().await;
    daemon.fake.state().script = samples::success();
    let http = daemon.http();
    let response =
        http.post("http://v/v1/deployments").json(&samples::request_json()).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let submitted = body(response).await;
    let id = submitted["deployment"].as_str().unwrap();
    let events = http.get(format!("http://v/v1/deployments/{id}/events")).send().await.unwrap();
    assert_eq!(events.headers()["content-type"], "text/event-stream");
    let text = events.text().await.unwrap();
    assert!(text.contains("\"end\":\"committed\""), "{text}");
    assert!(text.starts_with("id: 0\n"), "{text}");
}
