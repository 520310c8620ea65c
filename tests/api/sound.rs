//! What `verdigris check` refuses in a stack file is refused at the API's door, too.

use rstest::rstest;
use serde_json::{Value, json};
use verdigris::deploy::control::{Refusal, RefusalKind};
use verdigris::model::ExitCode;

use crate::BASE;
use crate::support::daemon::{Daemon, READ};
use crate::support::samples;

fn with(pointer: &str, value: Value) -> Value {
    let mut body = samples::request_json();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = body.pointer_mut(parent).unwrap();
    match key.parse::<usize>() {
        Ok(index) => parent[index] = value,
        Err(_) => parent[key] = value,
    }
    body
}

async fn refused(body: &Value) -> Refusal {
    let daemon = Daemon::start().await;
    let mut told: Option<Refusal> = None;
    for path in ["/v1/deployments", "/v1/plan"] {
        let sent = daemon.http().post(format!("{BASE}{path}")).json(body).send().await.unwrap();
        assert_eq!(sent.status(), 400, "{path}");
        let refusal = sent.json::<Refusal>().await.unwrap();
        assert!(told.is_none_or(|earlier| earlier == refusal), "a plan is told something else");
        told = Some(refusal);
    }
    assert_eq!(daemon.fake.calls(), [], "something was acted upon");
    told.unwrap()
}

#[rstest]
#[case::no_host("/draft/policy/route/hosts", json!([]), "route.hosts: there is no host")]
#[case::port_in_host("/draft/policy/route/hosts/0", json!("a.b:80"), "route.hosts[0]: `a.b:80` is not")]
#[case::host_twice("/draft/policy/route/hosts", json!(["a.b", "a.b"]), "route.hosts[1]: `a.b` is given")]
#[case::directive_in_host("/draft/policy/route/hosts/0", json!("a;} x {"), "route.hosts[0]: ")]
#[case::relative_path("/draft/policy/route/path", json!("books"), "route.path: `books` is not")]
#[case::directive_in_path("/draft/policy/route/path", json!("/{return 200;}"), "route.path: ")]
#[case::dots_in_path("/draft/policy/route/path", json!("/a/../b"), "route.path: ")]
#[case::open_path("/draft/policy/route/path", json!("/books/"), "route.path: it is not in the form")]
#[case::upper_case("/draft/policy/route/hosts/0", json!("A.b"), "route.hosts[0]: it is not in the form")]
#[case::no_port("/draft/policy/port", json!(0), "port: `0` is not a port")]
#[case::no_replica("/draft/workload/replicas", json!(0), "deploy.replicas: a release without")]
#[case::no_time("/draft/policy/deadline", json!("0s"), "deadline: it leaves no time")]
#[case::endless("/draft/policy/drain", json!("9999999999h"), "drain: ")]
#[case::never_stable("/draft/policy/stable_for", json!("1h"), "stable_for: no deployment could")]
#[case::third_colour("/draft/policy/retain/releases", json!(2), "retain.releases: 2 releases cannot")]
#[case::bake_share("/draft/policy/bake", json!({"for": "1s", "max_errors": 1.5, "min_requests": 1}), "bake.max_errors: ")]
#[case::gate_name("/draft/policy/gates/pre_integration/0/name", json!("../x"), "pre_integration[0].name: ")]
#[case::gate_time("/draft/policy/gates/pre_integration/0/timeout", json!("0s"), "pre_integration[0].timeout: ")]
#[case::gate_path("/draft/policy/gates/pre_integration/0/check/http/path", json!("/a b"), "http.path: ")]
#[case::gate_header("/draft/policy/gates/pre_integration/0/check/http/headers", json!({"Host": "x"}), "http.headers.Host: ")]
#[case::gate_tries("/draft/policy/gates/pre_integration/0/check/http/attempts", json!(0), "http.attempts: ")]
#[case::gate_program("/draft/policy/gates/pre_integration/0/check", json!({"command": {"argv": [], "env": {}}}), "command.argv: ")]
#[case::no_network("/draft/policy/publish", json!("overlay"), "publish: `publish: overlay` needs a network")]
#[case::no_route("/draft/policy/route", Value::Null, "")]
#[case::our_label("/draft/workload/service_labels", json!({"verdigris.service": "x"}), "deploy.labels.verdigris.service: ")]
#[case::our_variable("/draft/workload/environment", json!({"VERDIGRIS_COLOUR": "x"}), "environment.VERDIGRIS_COLOUR: ")]
#[case::nul("/draft/workload/environment", json!({"A": "\u{0}"}), "environment.A: there is a NUL")]
#[case::relative_bind("/draft/workload/mounts", json!([{"kind": "bind", "source": "x", "target": "/x"}]), "volumes[0]: the path")]
#[case::two_in_one("/draft/workload/mounts", json!([{"kind": "tmpfs", "source": "x", "target": "/x"}]), "volumes[0]: a tmpfs")]
#[case::escaping_file("/draft/workload/secrets", json!([{"name": "s", "target": "../s", "uid": "0", "gid": "0", "mode": 292}]), "secrets[0]")]
#[case::owner("/draft/workload/configs", json!([{"name": "s", "target": "/s", "uid": "root", "gid": "0", "mode": 292}]), "configs[0].uid: ")]
#[case::signal("/draft/workload/stop_signal", json!("kill it"), "stop_signal: ")]
#[case::constraint("/draft/workload/placement", json!({"constraints": ["node.labels.zone"]}), "placement.constraints[0]: ")]
#[case::little_memory("/draft/workload/resources", json!({"limits": {"memory": 5}}), "limits.memory: it is less")]
#[case::negative("/draft/workload/resources", json!({"limits": {"nano_cpus": -1}}), "limits.cpus: ")]
#[case::restarts("/draft/workload/restart_policy", json!({"condition": "maybe"}), "restart_policy.condition: ")]
#[tokio::test]
async fn what_check_refuses_is_refused(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] line: &str,
) {
    let mut body = with(pointer, value);
    if line.is_empty() {
        let gates = body.pointer_mut("/draft/policy/gates").unwrap();
        gates["post_integration"] = gates["pre_integration"].clone();
    }
    let line = if line.is_empty() { "gates.post_integration: these gates ask" } else { line };
    let refusal = refused(&body).await;
    assert_eq!(refusal.kind, RefusalKind::Invalid);
    assert_eq!(refusal.kind.exit_code(), ExitCode::Invalid);
    assert!(refusal.details.iter().any(|told| told.contains(line)), "{:?}", refusal.details);
    assert!(refusal.remedy.is_some());
}

#[tokio::test]
async fn all_that_is_wrong_is_told_at_once_and_no_secret_with_it() {
    let mut body = with("/draft/policy/port", json!(0));
    body["draft"]["policy"]["route"]["path"] = json!("x");
    body["draft"]["workload"]["environment"] = json!({ "PASSWORD": "s3cret\u{0}" });
    let refusal = refused(&body).await;
    assert_eq!(refusal.details.len(), 3, "{:?}", refusal.details);
    assert!(!refusal.details.iter().any(|line| line.contains("s3cret")), "{:?}", refusal.details);
}

/// As a script leaves it whose variable is empty: it would fit every release.
#[tokio::test]
async fn a_release_to_go_back_to_has_a_name() {
    let mut rollback = samples::rollback_json();
    rollback["release"] = json!("");
    let refusal = refused(&rollback).await;
    assert!(refusal.message.contains("`release` is empty"), "{}", refusal.message);
}

#[tokio::test]
async fn a_deadline_of_its_own_must_leave_time() {
    for deadline in ["0s", "300years"] {
        let mut rollback = samples::rollback_json();
        rollback["deadline"] = json!(deadline);
        let refusal = refused(&rollback).await;
        assert!(refusal.message.contains("`deadline`"), "{}", refusal.message);
    }
}

/// Who may not deploy learns nothing of what would be wrong.
#[tokio::test]
async fn rights_come_first() {
    let daemon = Daemon::start().await;
    let request = daemon.http_over_tcp().post(daemon.url("/v1/deployments")).bearer_auth(READ);
    let sent = request.json(&with("/draft/policy/port", json!(0))).send().await.unwrap();
    assert_eq!(sent.status(), 403);
    assert_eq!(sent.json::<Refusal>().await.unwrap().details, Vec::<String>::new());
}
