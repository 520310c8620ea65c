//! Who may do what, over every path that there is.

use serde_json::{Value, json};
use verdigris::deploy::control::{Refusal, RefusalKind};

use crate::support::daemon::{BOOKS, DEPLOY, Daemon, OPERATE, READ};
use crate::support::samples;
use crate::{BASE, json as read};

/// A path of the API, ready to be asked.
#[derive(Debug, Clone)]
struct Operation {
    method: reqwest::Method,
    path: String,
    body: Option<Value>,
    template: String,
}

/// Every operation of the OpenAPI document, and `/metrics`, about `service`.
async fn operations(daemon: &Daemon, service: &str) -> Vec<Operation> {
    let document = crate::http_over_tcp().get(daemon.url("/v1/openapi.json")).send().await.unwrap();
    assert_eq!(document.status(), 200);
    let document = read(document).await;
    let mut operations = vec![Operation {
        method: reqwest::Method::GET,
        path: "/metrics".to_owned(),
        body: None,
        template: "/metrics".to_owned(),
    }];
    for (template, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let id = daemon.fake.open(samples::view(service));
            let mut body = samples::request_json();
            body["draft"]["service"] = json!(service);
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: template
                    .replace("{id}", &id.to_string())
                    .replace("{service}", service)
                    .replace("{name}", "edge-nginx"),
                body: (method == "post")
                    .then(|| if template.contains("{id}") { json!({}) } else { body }),
                template: template.clone(),
            });
        }
    }
    assert!(operations.len() >= 17, "{operations:?}");
    operations
}

async fn ask(daemon: &Daemon, operation: &Operation, token: Option<&str>) -> reqwest::Response {
    let http = crate::http_over_tcp();
    let mut request = http.request(operation.method.clone(), daemon.url(&operation.path));
    if let Some(body) = &operation.body {
        request = request.json(body);
    }
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

/// The tokens that an operation on any service takes, besides the one for `books-*`.
fn allowed(operation: &Operation) -> &'static [&'static str] {
    match (operation.method.as_str(), operation.template.as_str()) {
        ("GET", _) => &[READ, DEPLOY, OPERATE],
        (_, "/v1/deployments" | "/v1/plan") => &[DEPLOY],
        (_, path) if path.ends_with("/abort") => &[DEPLOY, OPERATE],
        _ => &[OPERATE],
    }
}

fn is_about_everything(operation: &Operation) -> bool {
    ["/metrics", "/v1/doctor", "/v1/proxies/{name}/render"].contains(&operation.template.as_str())
}

#[tokio::test]
async fn without_a_known_token_nothing_is_answered_over_tcp() {
    let daemon = Daemon::start().await;
    for operation in operations(&daemon, "books-ms").await {
        for token in [None, Some(""), Some("wrong"), Some("read-toke"), Some("read-token2")] {
            let response = ask(&daemon, &operation, token).await;
            assert_eq!(response.status(), 401, "{operation:?} {token:?}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"verdigris\"");
            let refusal = response.json::<Refusal>().await.unwrap();
            assert_eq!(refusal.kind, RefusalKind::Unauthenticated);
            assert!(refusal.remedy.unwrap().contains("--token-file"));
        }
    }
    assert_eq!(daemon.fake.calls(), []);
}

#[tokio::test]
async fn other_schemes_than_bearer_are_refused() {
    let daemon = Daemon::start().await;
    let http = crate::http_over_tcp();
    let request = || http.get(daemon.url("/v1/status"));
    for header in ["Basic cmVhZC10b2tlbg==", READ, "Bearer", "Bearer\u{a0}x"] {
        let value = reqwest::header::HeaderValue::from_bytes(header.as_bytes()).unwrap();
        let response = request().header("authorization", value).send().await.unwrap();
        assert_eq!(response.status(), 401, "{header}");
    }
    let response = request().header("authorization", "bearer read-token").send().await.unwrap();
    assert_eq!(response.status(), 200, "the scheme's case does not matter");
}

#[tokio::test]
async fn each_scope_allows_what_it_says_and_no_more() {
    let daemon = Daemon::start().await;
    for operation in operations(&daemon, "films-ms").await {
        for token in [READ, DEPLOY, OPERATE] {
            let status = ask(&daemon, &operation, Some(token)).await.status().as_u16();
            let may = allowed(&operation).contains(&token);
            assert_eq!(status != 403, may, "{operation:?} with {token}: {status}");
            assert_ne!(status, 401, "{operation:?} with {token}");
        }
    }
}

#[tokio::test]
async fn a_token_for_some_services_is_for_those_only() {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    for (service, meant) in [("books-ms", true), ("films-ms", false)] {
        for operation in operations(&daemon, service).await {
            let status = ask(&daemon, &operation, Some(BOOKS)).await.status().as_u16();
            let named = operation.template.contains("{id}")
                || operation.template.contains("{service}")
                || operation.body.is_some();
            let refused = is_about_everything(&operation) || (named && !meant);
            assert_eq!(status == 403, refused, "{operation:?}: {status}");
        }
    }
}

#[tokio::test]
async fn lists_show_a_token_its_services_only() {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    daemon.fake.open(samples::view("books-ms"));
    daemon.fake.open(samples::view("films-ms"));
    let get = |path: &str| crate::http_over_tcp().get(daemon.url(path)).bearer_auth(BOOKS).send();
    let status = read(get("/v1/status").await.unwrap()).await;
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap();
        list.iter().map(|entry| entry["service"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&status["services"]), ["books-ms"]);
    let deployments = read(get("/v1/deployments").await.unwrap()).await;
    assert_eq!(names(&deployments), ["books-ms"]);
    let films = get("/v1/deployments?service=films-ms").await.unwrap();
    assert_eq!(films.status(), 403);
}

#[tokio::test]
async fn the_unix_socket_needs_no_token() {
    let daemon = Daemon::start().await;
    let http = daemon.http();
    for operation in operations(&daemon, "books-ms").await {
        let mut request = http.request(operation.method, format!("{BASE}{}", operation.path));
        if let Some(body) = &operation.body {
            request = request.json(body);
        }
        let status = request.send().await.unwrap().status();
        assert!(![401, 403].contains(&status.as_u16()), "{} {status}", operation.template);
    }
}

#[tokio::test]
async fn the_name_of_the_token_backs_what_a_client_says_of_itself() {
    let daemon = Daemon::start().await;
    let id = daemon.fake.open(samples::view("books-ms"));
    let post = crate::http_over_tcp().post(daemon.url(&format!("/v1/deployments/{id}/approve")));
    post.bearer_auth(OPERATE).json(&json!({ "by": "jane" })).send().await.unwrap();
    let call = daemon.fake.calls().pop().unwrap();
    assert_eq!(call, crate::support::fake::Call::Approve { id, by: "jane (token operate)".into() });
}

#[tokio::test]
async fn whether_it_lives_is_told_to_anybody() {
    let daemon = Daemon::start().await;
    for (path, status) in [("/healthz", 200), ("/readyz", 503), ("/v1/openapi.json", 200)] {
        let response = crate::http_over_tcp().get(daemon.url(path)).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
}
