//! Deployments: submitted, listed, acted upon.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, Once};

use serde_json::{Value, json};
use verdigris::deploy::control::{Refusal, RefusalKind};
use verdigris::model::{DeploymentId, Kind, OnBusy, OnDisconnect};

use crate::support::daemon::{BOOKS, DEPLOY, Daemon};
use crate::support::fake::Call;
use crate::support::samples;
use crate::{BASE, json as read};

async fn post(daemon: &Daemon, path: &str, body: &Value) -> reqwest::Response {
    daemon.http().post(format!("{BASE}{path}")).json(body).send().await.unwrap()
}

async fn get(daemon: &Daemon, path: &str) -> reqwest::Response {
    daemon.http().get(format!("{BASE}{path}")).send().await.unwrap()
}

#[tokio::test]
async fn every_option_arrives() {
    let daemon = Daemon::start().await;
    let mut body = samples::request_json();
    for (key, value) in [
        ("sequence", json!(42)),
        ("on_busy", json!("supersede")),
        ("on_disconnect", json!("revert")),
        ("deadline", json!("90s")),
        ("force", json!(true)),
        ("by", json!("jane@ci")),
    ] {
        body[key] = value;
    }
    let response = post(&daemon, "/v1/deployments", &body).await;
    assert_eq!(response.status(), 202);
    assert_eq!(read(response).await["attached"], false);
    let calls = daemon.fake.calls();
    let [Call::Submit(request)] = calls.as_slice() else { panic!("{calls:?}") };
    assert_eq!(request.sequence, Some(42));
    assert_eq!(request.on_busy, OnBusy::Supersede);
    assert_eq!(request.on_disconnect, OnDisconnect::Revert);
    assert_eq!(request.deadline.unwrap().as_secs(), 90);
    assert!(request.force);
    assert_eq!(request.by, "jane@ci");
    assert!(matches!(&request.kind, Kind::Deploy { draft } if *draft == samples::draft()));
}

#[tokio::test]
async fn a_client_that_says_no_name_is_recorded_by_its_user() {
    let daemon = Daemon::start().await;
    post(&daemon, "/v1/deployments", &samples::rollback_json()).await;
    let calls = daemon.fake.calls();
    let [Call::Submit(request)] = calls.as_slice() else { panic!("{calls:?}") };
    assert!(request.by.starts_with("uid "), "{}", request.by);
}

#[tokio::test]
async fn refusals_keep_their_words_and_get_their_status() {
    for (kind, status) in [
        (RefusalKind::Invalid, 400),
        (RefusalKind::Unknown, 404),
        (RefusalKind::Busy, 409),
        (RefusalKind::OutOfSequence, 409),
        (RefusalKind::WrongState, 409),
        (RefusalKind::Proxy, 502),
        (RefusalKind::Unreachable, 503),
        (RefusalKind::ShuttingDown, 503),
        (RefusalKind::Internal, 500),
    ] {
        let daemon = Daemon::start().await;
        let mut refusal = Refusal::new(kind, "no").remedy("ask differently");
        refusal.details = vec!["one".to_owned()];
        refusal.deployment = Some(DeploymentId::new());
        daemon.fake.state().refusal = Some(refusal.clone());
        let response = post(&daemon, "/v1/deployments", &samples::rollback_json()).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.json::<Refusal>().await.unwrap(), refusal);
    }
}

#[tokio::test]
async fn deployments_are_listed_newest_first_and_counted_off() {
    let daemon = Daemon::start().await;
    let ids: Vec<DeploymentId> = ["books-ms", "films-ms", "books-ms"]
        .into_iter()
        .map(|service| daemon.fake.open(samples::view(service)))
        .collect();
    let listed = |list: Value| -> Vec<String> {
        let list = list.as_array().unwrap().clone();
        list.iter().map(|view| view["id"].as_str().unwrap().to_owned()).collect()
    };
    let text =
        |ids: &[DeploymentId]| -> Vec<String> { ids.iter().map(|id| uuid_of(*id)).collect() };
    let all = listed(read(get(&daemon, "/v1/deployments").await).await);
    assert_eq!(all, text(&[ids[2], ids[1], ids[0]]));
    let books = listed(read(get(&daemon, "/v1/deployments?service=books-ms").await).await);
    assert_eq!(books, text(&[ids[2], ids[0]]));
    let one = listed(read(get(&daemon, "/v1/deployments?limit=1").await).await);
    assert_eq!(one, text(&[ids[2]]));
}

/// Others' deployments do not use up the list of who may not see them.
#[tokio::test]
async fn a_token_for_some_services_is_shown_as_many_of_them_as_it_asks_for() {
    let daemon = Daemon::start().await;
    let books = daemon.fake.open(samples::view("books-ms"));
    for _ in 0..30 {
        daemon.fake.open(samples::view("films-ms"));
    }
    let asked = crate::http_over_tcp().get(daemon.url("/v1/deployments")).bearer_auth(BOOKS);
    let list = read(asked.send().await.unwrap()).await;
    let ids: Vec<&Value> = list.as_array().unwrap().iter().map(|view| &view["id"]).collect();
    assert_eq!(ids, [&json!(uuid_of(books))]);
}

fn uuid_of(id: DeploymentId) -> String {
    serde_json::to_value(id).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_deployment_is_shown_by_either_form_of_its_id() {
    let daemon = Daemon::start().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    for form in [id.to_string(), uuid_of(id)] {
        let view = read(get(&daemon, &format!("/v1/deployments/{form}")).await).await;
        assert_eq!(view["service"], "books-ms");
    }
    let unknown = get(&daemon, &format!("/v1/deployments/{}", DeploymentId::new())).await;
    assert_eq!(unknown.status(), 404);
}

#[tokio::test]
async fn acts_reach_the_daemon_with_who_and_why() {
    let daemon = Daemon::start().await;
    let body = json!({ "by": "jane", "why": "wrong image" });
    for verb in ["abort", "approve", "reject", "retry"] {
        let id = daemon.fake.open(samples::view("books-ms"));
        let response = post(&daemon, &format!("/v1/deployments/{id}/{verb}"), &body).await;
        assert_eq!(response.status(), 204, "{verb}");
        let (by, why) = ("jane".to_owned(), "wrong image".to_owned());
        let expected = match verb {
            "abort" => Call::Abort { id, by, why },
            "approve" => Call::Approve { id, by },
            "reject" => Call::Reject { id, by, why },
            _ => Call::Retry { id, by },
        };
        assert_eq!(daemon.fake.calls().last(), Some(&expected));
    }
}

#[tokio::test]
async fn an_act_on_nothing_is_refused_before_the_daemon_hears_of_it() {
    let daemon = Daemon::start().await;
    let path = format!("/v1/deployments/{}/abort", DeploymentId::new());
    assert_eq!(post(&daemon, &path, &json!({})).await.status(), 404);
    assert_eq!(daemon.fake.calls(), []);
}

thread_local! {
    /// What the test on this thread captures.
    static CAPTURED: RefCell<Option<Captured>> = const { RefCell::new(None) };
}

static LOG: Once = Once::new();

/// What is logged on one thread.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Captured {
    /// All that is logged on this thread from now on. The subscriber is that of the whole process: one of
    /// a single thread misses what another thread has logged first, when nobody listened.
    fn start() -> Self {
        let captured = Self::default();
        CAPTURED.set(Some(captured.clone()));
        LOG.call_once(|| {
            // A thread that ends may log when what was its own is gone.
            let here = || CAPTURED.try_with(|captured| captured.borrow().clone());
            let here = move || here().ok().flatten().unwrap_or_default();
            let log = tracing_subscriber::fmt().json().with_max_level(tracing::Level::TRACE);
            log.with_writer(here).init();
        });
        captured
    }

    fn records(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.filter(|record| record["target"] == "audit").collect()
    }
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_and_no_secret_is() {
    // The whole test runs on this thread, the daemon included.
    let captured = Captured::start();
    let daemon = Daemon::start().await;
    let mut body = samples::request_json();
    body["by"] = json!("jenkins");
    body["draft"]["workload"]["environment"] = json!({ "PASSWORD": "hunter2" });
    let http = crate::http_over_tcp();
    let submit = http.post(daemon.url("/v1/deployments")).bearer_auth(DEPLOY).json(&body);
    let id = read(submit.send().await.unwrap()).await["deployment"].as_str().unwrap().to_owned();
    let approve = http.post(daemon.url(&format!("/v1/deployments/{id}/approve")));
    let refused = approve.bearer_auth(DEPLOY).json(&json!({})).send().await.unwrap();
    assert_eq!(refused.status(), 403);

    let records = captured.records();
    let fields: Vec<&Value> = records.iter().map(|record| &record["fields"]).collect();
    assert_eq!(fields.len(), 2, "{records:?}");
    assert!(fields[0]["who"].as_str().unwrap().starts_with("token deploy from 127.0.0.1:"));
    assert_eq!(fields[0]["claimed"], "jenkins");
    assert_eq!(fields[0]["what"], "deploy");
    assert_eq!(fields[0]["service"], "books-ms");
    assert!(fields[0].get("refused").is_none());
    assert!(records[0]["timestamp"].is_string());
    assert_eq!(fields[1]["what"], "approve");
    assert!(fields[1]["refused"].as_str().unwrap().contains("scope"), "{fields:?}");
    let everything = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert!(!everything.contains("hunter2"));
    assert!(!everything.contains(DEPLOY));
}
