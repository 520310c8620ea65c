use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::deploy::ports::{Door, PortResult, Sight};
use crate::gate::fixture;
use crate::model::{Asked, GatePoint, Instance};

type Answering = dyn Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync;

/// A server on a free port for as long as the test runs; with TLS when it gets an acceptor.
async fn serve(
    tls: Option<TlsAcceptor>,
    answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer: Arc<Answering> = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (answer, tls) = (Arc::clone(&answer), tls.clone());
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer(&request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let http = hyper::server::conn::http1::Builder::new();
                match tls {
                    None => drop(http.serve_connection(TokioIo::new(tcp), service).await),
                    Some(tls) => {
                        let Ok(stream) = tls.accept(tcp).await else { return };
                        drop(http.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            });
        }
    });
    address
}

fn say(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
}

fn check() -> HttpCheck {
    HttpCheck {
        method: "GET".to_owned(),
        asked: Asked::Release { path: "/api/v1/books".to_owned() },
        status: 200,
        body: None,
        headers: BTreeMap::new(),
        max_time: None,
        attempts: 1,
    }
}

fn instance(address: &str) -> Instance {
    Instance {
        task: address.to_owned(),
        node: "alpha".to_owned(),
        address: address.parse().unwrap(),
    }
}

/// Before the switch, with one instance at `address`.
fn direct(address: SocketAddr) -> GateContext {
    let mut context = fixture::context(GatePoint::PreIntegration);
    context.instances = vec![instance(&address.to_string())];
    context
}

const NEW: &str = "10.0.0.2:32768";

/// After the switch, through one proxy; the new instance is said to be [`NEW`].
fn through(
    http: Option<SocketAddr>,
    https: Option<SocketAddr>,
    ca: Option<PathBuf>,
) -> GateContext {
    let mut context = fixture::context(GatePoint::PostIntegration);
    context.instances = vec![instance(NEW)];
    context.doors = vec![Door {
        proxy: "edge-nginx".to_owned(),
        http,
        https,
        ca,
        probe: Some(("x-verdigris-probe".to_owned(), "secret".to_owned())),
    }];
    context
}

async fn outcome(check: &HttpCheck, context: &GateContext) -> (Result<(), String>, Vec<String>) {
    let lines = Mutex::new(Vec::new());
    let output = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let asked = run(check, context, &output).await;
    (asked.map_err(|error| error.to_string()), lines.into_inner().unwrap())
}

async fn failure(check: &HttpCheck, context: &GateContext) -> String {
    outcome(check, context).await.0.expect_err("it passed")
}

#[tokio::test]
async fn instances_are_asked_directly_under_the_public_name() {
    let address = serve(None, |request| {
        assert_eq!(request.headers()["host"], "books.example.com");
        assert!(!request.headers().contains_key("x-verdigris-probe"));
        say(200, &[], request.uri().path())
    })
    .await;
    let check = HttpCheck { body: Some("/v1/".to_owned()), ..check() };
    let (passed, lines) = outcome(&check, &direct(address)).await;
    passed.unwrap();
    let begin = format!("GET http://books.example.com/api/v1/books at {address}: 200 in ");
    assert!(lines[0].starts_with(&begin), "{lines:?}");
}

#[tokio::test]
async fn a_wrong_status_is_told_with_what_came_back() {
    let address = serve(None, |_| say(500, &[], &"x".repeat(300))).await;
    let said = failure(&check(), &direct(address)).await;
    let expected = format!(
        "GET http://books.example.com/api/v1/books at {address}: status 500 instead of 200: `{}…`",
        "x".repeat(200)
    );
    assert_eq!(said, expected);
}

#[tokio::test]
async fn a_wrong_body_fails() {
    let address = serve(None, |_| say(200, &[], r#"{"status":"starting"}"#)).await;
    let check = HttpCheck { body: Some("\"ok\"".to_owned()), ..check() };
    let said = failure(&check, &direct(address)).await;
    assert!(said.ends_with(r#"`"ok"` is not in the answer: `{"status":"starting"}`"#), "{said}");
}

#[tokio::test]
async fn an_answer_that_takes_too_long_fails_however_right() {
    let address = serve(None, |_| {
        std::thread::sleep(Duration::from_millis(120));
        say(200, &[], "")
    })
    .await;
    let check = HttpCheck { max_time: Some(Duration::from_millis(60)), ..check() };
    let said = failure(&check, &direct(address)).await;
    assert!(said.contains("60ms"), "{said}");
}

#[rstest::rstest]
#[case::by_name("localhost", "")]
#[case::by_address("127.0.0.1", "")]
#[case::after_the_start("localhost", "after")]
#[tokio::test]
async fn somebody_else_is_asked_at_any_point(#[case] host: &str, #[case] when: &str) {
    let address = serve(None, |request| {
        let asked = request.headers()["host"].to_str().unwrap();
        assert!(!request.headers().contains_key("x-verdigris-probe"));
        say(203, &[], &format!("{asked}{}", request.uri()))
    })
    .await;
    let url = format!("http://{host}:{}/ready?deep=1", address.port());
    let asked = Asked::Elsewhere { url: url.parse().unwrap() };
    let body = Some(format!("{host}:{}/ready?deep=1", address.port()));
    let check = HttpCheck { asked, ..check() };
    let context = match when {
        "after" => through(Some(address), None, None),
        _ => fixture::context(GatePoint::PreDeployment),
    };
    let said = failure(&check, &context).await;
    assert!(said.contains(&format!("GET {url}: status 203 instead of 200")), "{said}");
    let (passed, lines) = outcome(&HttpCheck { status: 203, body, ..check }, &context).await;
    passed.unwrap();
    assert!(lines[0].starts_with(&format!("GET {url}: 203 in ")), "{lines:?}");
}

#[tokio::test]
async fn nobody_there_is_told_with_the_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let said = failure(&check(), &direct(address)).await;
    assert!(said.contains(&address.to_string()) && said.contains("refused"), "{said}");
}

#[tokio::test]
async fn it_is_tried_as_often_as_the_check_allows() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = serve(None, move |_| {
        let time = count.fetch_add(1, Ordering::SeqCst);
        say(if time < 2 { 503 } else { 200 }, &[], "")
    })
    .await;
    let twice = HttpCheck { attempts: 2, ..check() };
    let said = failure(&twice, &direct(address)).await;
    assert!(said.contains("(2 times): status 503"), "{said}");
    asked.store(0, Ordering::SeqCst);
    let thrice = HttpCheck { attempts: 3, ..check() };
    outcome(&thrice, &direct(address)).await.0.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn through_a_proxy_the_new_colour_must_have_answered() {
    let proof: Arc<Mutex<Vec<(&'static str, &'static str)>>> = Arc::default();
    let said = Arc::clone(&proof);
    let address = serve(None, move |request| {
        assert_eq!(request.headers()["x-verdigris-probe"], "secret");
        say(200, &said.lock().unwrap(), "")
    })
    .await;
    let (check, context) = (check(), through(Some(address), None, None));
    let told = |headers: &[(&'static str, &'static str)]| {
        *proof.lock().unwrap() = headers.to_vec();
        outcome(&check, &context)
    };
    let upstream = "x-verdigris-upstream";
    let colour = "x-verdigris-colour";
    told(&[(upstream, NEW), (colour, "green")]).await.0.unwrap();
    // A proxy that tried another instance first.
    told(&[(upstream, "10.0.0.9:1, 10.0.0.2:32768"), (colour, "green")]).await.0.unwrap();
    for (headers, words) in [
        (vec![], "does not say which instance answered"),
        (
            vec![(upstream, "10.0.0.7:32001"), (colour, "blue")],
            "blue (10.0.0.7:32001) answered instead of green",
        ),
        (
            vec![(upstream, "10.0.0.7:32001"), (colour, "green")],
            "10.0.0.7:32001 answered, which is no instance of the new release",
        ),
        (vec![(upstream, NEW)], "no colour (10.0.0.2:32768) answered instead of green"),
    ] {
        let said = told(&headers).await.0.unwrap_err();
        assert!(said.ends_with(words), "{said}");
        assert!(said.contains("through `edge-nginx`"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

/// Sees an instance at this address, or fails to look; counts how often it looked.
struct Looks(Option<&'static str>, AtomicUsize);

#[async_trait]
impl Sight for Looks {
    async fn instances(&self) -> PortResult<Vec<Instance>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let unseen = || PortError::new(Trouble::Denied, "list tasks");
        Ok(vec![instance(self.0.ok_or_else(unseen)?)])
    }
}

const MOVED: &str = "10.0.0.3:32770";

/// What the gate says of an answer by [`MOVED`] as `colour` when Swarm tells that the new instance is at
/// `seen`, and how often it was asked.
async fn moved(colour: &'static str, seen: Option<&'static str>) -> (Result<(), String>, usize) {
    let address = serve(None, move |_| {
        say(200, &[("x-verdigris-upstream", MOVED), ("x-verdigris-colour", colour)], "")
    })
    .await;
    let looks = Arc::new(Looks(seen, AtomicUsize::new(0)));
    let mut context = through(Some(address), None, None);
    context.sight = Arc::clone(&looks) as _;
    let (outcome, _) = outcome(&check(), &context).await;
    (outcome, looks.1.load(Ordering::SeqCst))
}

#[tokio::test]
async fn an_instance_that_swarm_put_in_the_place_of_another_is_one_of_the_new_release() {
    assert_eq!(moved("green", Some(MOVED)).await, (Ok(()), 1));
    let (said, _) = moved("green", Some("10.0.0.3:1")).await;
    let said = said.unwrap_err();
    assert!(said.ends_with("10.0.0.3:32770 answered, which is no instance of the new release"));
    let (said, _) = moved("green", None).await;
    let said = said.unwrap_err();
    assert!(said.ends_with("new release cannot be seen: cannot list tasks"), "{said}");
}

#[tokio::test]
async fn an_answer_of_the_old_colour_is_wrong_without_a_further_look() {
    let (said, looks) = moved("blue", Some(MOVED)).await;
    let said = said.unwrap_err();
    assert!(said.ends_with("blue (10.0.0.3:32770) answered instead of green"), "{said}");
    assert_eq!(looks, 0);
}

/// An authority's file, and an acceptor with a certificate that it signed for `name`.
fn certify(directory: &std::path::Path, name: &str) -> (PathBuf, TlsAcceptor) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let file = directory.join("ca.pem");
    std::fs::write(&file, ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let configuration = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (file, TlsAcceptor::from(Arc::new(configuration)))
}

fn proved(_: &Request<Incoming>) -> Response<Full<Bytes>> {
    say(200, &[("x-verdigris-upstream", NEW), ("x-verdigris-colour", "green")], "")
}

#[tokio::test]
async fn both_doors_are_asked_and_certificates_are_checked_by_the_doors_authority() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, acceptor) = certify(directory.path(), "books.example.com");
    let http = serve(None, proved).await;
    let https = serve(Some(acceptor), proved).await;
    let (passed, mut lines) = outcome(&check(), &through(Some(http), Some(https), Some(ca))).await;
    passed.unwrap();
    lines.sort();
    assert!(lines[0].starts_with("GET http://books.example.com/"), "{lines:?}");
    assert!(lines[1].starts_with("GET https://books.example.com/"), "{lines:?}");
    assert!(lines[1].ends_with("from green 10.0.0.2:32768"), "{lines:?}");
}

#[tokio::test]
async fn a_failure_on_443_alone_fails_the_gate() {
    let directory = tempfile::tempdir().unwrap();
    let (ca, acceptor) = certify(directory.path(), "books.example.com");
    let http = serve(None, proved).await;
    let broken = serve(Some(acceptor), |_| say(502, &[], "bad gateway")).await;
    let said = failure(&check(), &through(Some(http), Some(broken), Some(ca.clone()))).await;
    assert!(said.starts_with("GET https://books.example.com/"), "{said}");
    assert!(!said.contains("http://"), "{said}");

    let (_, other) = certify(directory.path(), "other.example.com");
    let misnamed = serve(Some(other), proved).await;
    let said = failure(&check(), &through(Some(http), Some(misnamed), Some(ca))).await;
    assert!(said.contains("TLS handshake"), "{said}");
}

#[tokio::test]
async fn without_tls_in_the_route_443_is_not_asked() {
    let http = serve(None, proved).await;
    let mut context = through(Some(http), Some("127.0.0.1:1".parse().unwrap()), None);
    let release = Arc::make_mut(&mut context.release);
    release.policy.route.as_mut().unwrap().tls = false;
    outcome(&check(), &context).await.0.unwrap();
}

#[tokio::test]
async fn with_nobody_to_ask_it_was_not_run() {
    for context in [
        fixture::context(GatePoint::PreDeployment),
        fixture::context(GatePoint::PreIntegration),
        fixture::context(GatePoint::PostIntegration),
    ] {
        let error = run(&check(), &context, &|_| {}).await.unwrap_err();
        assert!(matches!(error, GateError::NotRun(_)), "{error:?}");
    }
}
