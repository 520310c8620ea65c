//! Malformed input is answered with what is wrong and where.

use rstest::rstest;
use serde_json::{Value, json};
use verdigris::deploy::control::{Refusal, RefusalKind};

use crate::BASE;
use crate::support::daemon::Daemon;
use crate::support::samples;

async fn refused(path: &str, kind: &str, body: impl Into<reqwest::Body>) -> (u16, Refusal) {
    let daemon = Daemon::start().await;
    let request = daemon.http().post(format!("{BASE}{path}")).header("content-type", kind);
    let response = request.body(body).send().await.unwrap();
    let status = response.status().as_u16();
    let refusal = response.json::<Refusal>().await.unwrap();
    assert_eq!(daemon.fake.calls(), [], "nothing of it was acted upon");
    assert_eq!(refusal.kind, RefusalKind::Invalid);
    (status, refusal)
}

fn with(pointer: &str, value: Value) -> String {
    let mut body = samples::request_json();
    *body.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    body.to_string()
}

fn adding(pointer: &str, key: &str, value: Value) -> String {
    let mut body = samples::request_json();
    body.pointer_mut(pointer).unwrap()[key] = value;
    body.to_string()
}

#[rstest]
#[case::empty(String::new(), "line 1 column 0")]
#[case::cut_off("{\"kind\": \"deploy\"".to_owned(), "line 1 column 17")]
#[case::not_json("{\n  kind: deploy\n}".to_owned(), "line 2 column 3")]
#[case::a_list("[]".to_owned(), "sequence")]
#[case::no_kind("{}".to_owned(), "kind")]
#[case::unknown_kind(json!({ "kind": "destroy" }).to_string(), "destroy")]
#[case::no_draft(json!({ "kind": "deploy" }).to_string(), "draft")]
#[case::bad_name(with("/draft/service", json!("Books")), "`draft.service`")]
#[case::bad_image(with("/draft/image", json!("a b")), "`draft.image`")]
#[case::bad_port(with("/draft/policy/port", json!(70_000)), "`draft.policy.port`")]
#[case::bad_publish(with("/draft/policy/publish", json!("vip")), "`draft.policy.publish`")]
#[case::bad_duration(with("/draft/policy/drain", json!("soon")), "`draft.policy.drain`")]
#[case::bad_gate(
    with("/draft/policy/gates/pre_integration/0/check", json!({ "ftp": {} })),
    "`draft.policy.gates.pre_integration[0].check"
)]
#[case::bad_replicas(with("/draft/workload/replicas", json!(-1)), "`draft.workload.replicas`")]
#[case::bad_sequence(adding("", "sequence", json!("first")), "`sequence`")]
#[case::bad_busy(adding("", "on_busy", json!("panic")), "`on_busy`")]
#[case::bad_deadline(adding("", "deadline", json!("later")), "`deadline`")]
#[case::rollback_of_nothing(json!({ "kind": "rollback" }).to_string(), "service")]
#[tokio::test]
async fn a_wrong_body_is_refused_with_its_place(#[case] body: String, #[case] place: &str) {
    let (status, refusal) = refused("/v1/deployments", "application/json", body).await;
    assert_eq!(status, 400);
    assert!(refusal.message.contains(place), "{}", refusal.message);
    assert!(refusal.remedy.unwrap().contains("openapi"));
}

#[rstest]
#[case::at_the_top(adding("", "on_bussy", json!("wait")), "`on_bussy` is not known; did you mean `on_busy`?")]
#[case::in_the_draft(adding("/draft", "imagee", json!("x")), "`draft.imagee` is not known; did you mean `image`?")]
#[case::in_the_workload(
    adding("/draft/workload", "comand", json!(["x"])),
    "`draft.workload.comand` is not known; did you mean `command`?"
)]
#[case::in_a_gate(
    adding("/draft/policy/gates/pre_integration/0", "retry", json!(3)),
    "`draft.policy.gates.pre_integration[0].retry` is not known"
)]
#[tokio::test]
async fn a_key_that_is_not_known_is_refused(#[case] body: String, #[case] line: &str) {
    let (status, refusal) = refused("/v1/deployments", "application/json", body).await;
    assert_eq!(status, 400);
    assert_eq!(refusal.details, [line]);
}

#[tokio::test]
async fn the_same_holds_for_plans_and_acts() {
    let (_, refusal) = refused("/v1/plan", "application/json", adding("", "x", json!(1))).await;
    assert_eq!(refusal.details, ["`x` is not known"]);
    let daemon = Daemon::start().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    let abort = daemon.http().post(format!("{BASE}/v1/deployments/{id}/abort"));
    let response = abort.json(&json!({ "reason": "x" })).send().await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(response.json::<Refusal>().await.unwrap().details, ["`reason` is not known"]);
    assert_eq!(daemon.fake.calls(), []);
}

#[tokio::test]
async fn only_json_is_taken() {
    for kind in ["application/x-www-form-urlencoded", "text/plain", "application/jsonx"] {
        let body = samples::request_json().to_string();
        let (status, refusal) = refused("/v1/deployments", kind, body).await;
        assert_eq!(status, 415);
        assert!(refusal.message.contains(kind), "{}", refusal.message);
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused() {
    let (status, _) = refused("/v1/deployments", "application/json", vec![b'"', 0xff, b'"']).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_unread() {
    let body = format!("\"{}\"", "x".repeat(3 * 1024 * 1024));
    let (status, refusal) = refused("/v1/deployments", "application/json", body).await;
    assert_eq!(status, 413);
    assert!(refusal.message.contains("limit"), "{}", refusal.message);
}

#[tokio::test]
async fn a_body_that_nests_without_end_is_refused() {
    let (status, refusal) =
        refused("/v1/deployments", "application/json", "[".repeat(100_000)).await;
    assert_eq!(status, 400);
    assert!(refusal.message.contains("recursion"), "{}", refusal.message);
}

#[rstest]
#[case("/v1/deployments?limit=0", "`limit` is 0")]
#[case("/v1/deployments?limit=1001", "1000")]
#[case("/v1/deployments?limit=many", "limit=many")]
#[case("/v1/deployments?limt=3", "unknown field `limt`")]
#[case("/v1/deployments?service=Books", "`Books` is not a service name")]
#[case("/v1/deployments/not-an-id", "`not-an-id` in the path")]
#[case("/v1/status?service=-", "not a service name")]
#[case("/v1/services/UPPER/colour", "`UPPER` in the path")]
#[case("/v1/services/%ff/colour", "the path")]
#[tokio::test]
async fn a_wrong_path_or_query_is_refused(#[case] path: &str, #[case] words: &str) {
    let daemon = Daemon::start().await;
    let response = daemon.http().get(format!("{BASE}{path}")).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let refusal = response.json::<Refusal>().await.unwrap();
    assert!(refusal.message.contains(words), "{}", refusal.message);
}

#[tokio::test]
async fn what_is_not_there_says_so_in_json() {
    let daemon = Daemon::start().await;
    let http = daemon.http();
    let nowhere = http.get(format!("{BASE}/v2/status")).send().await.unwrap();
    assert_eq!(nowhere.status(), 404);
    assert!(nowhere.json::<Refusal>().await.unwrap().message.contains("/v2/status"));
    let wrong = http.delete(format!("{BASE}/v1/deployments")).send().await.unwrap();
    assert_eq!(wrong.status(), 405);
    assert!(wrong.json::<Refusal>().await.unwrap().message.contains("DELETE"));
}
