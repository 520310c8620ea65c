use std::convert::Infallible;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::deploy::ports::Trouble;

/// An engine that answers `/version` with `versions` and everything else with its path, and keeps
/// what it was asked.
#[derive(Clone)]
struct Engine {
    versions: Value,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    fn new(api: &str, oldest: &str) -> Self {
        let versions = json!({ "ApiVersion": api, "MinAPIVersion": oldest, "Version": "1" });
        Self { versions, asked: Arc::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let uri = request.uri().to_string();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(uri.clone());
        if let Some(body) = long_answer(&uri) {
            return Response::new(Full::new(body));
        }
        let (status, body) = match uri.as_str() {
            "/version" => (200, self.versions.clone()),
            uri if uri.contains("/containers/gone") => (404, json!({ "message": "gone" })),
            uri if uri.contains("/containers/failed/wait") => (200, json!({ "StatusCode": 3 })),
            uri if uri.contains("/distribution/") => {
                let auth = request.headers().get(&REGISTRY_AUTH).map(|auth| auth.to_str().unwrap());
                (200, json!({ "Descriptor": { "digest": auth }, "Platforms": [] }))
            }
            uri if uri.ends_with("/missing") => (404, json!({ "message": "no such thing" })),
            uri if uri.ends_with("/garbage") => (200, json!("not what was wanted")),
            uri => (200, json!([uri])),
        };
        let body = Full::new(Bytes::from(body.to_string()));
        Response::builder().status(status).body(body).unwrap()
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(move |request| {
            let answer = self.answer(&request);
            async move { Ok::<_, Infallible>(answer) }
        });
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    fn listen(&self, socket: &Path) -> Client {
        let listener = UnixListener::bind(socket).unwrap();
        let engine = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(engine.clone().serve(stream));
            }
        });
        client(&format!("unix://{}", socket.display()), None).unwrap()
    }
}

/// What does not come in one piece of JSON.
fn long_answer(uri: &str) -> Option<Bytes> {
    match uri {
        _ if uri.ends_with("/flood") => Some(vec![b' '; LARGEST + 1].into()),
        _ if uri.ends_with("/lines") => Some(Bytes::from_static(b"one\n{\"a\":1}\n\nunfinished")),
        _ => None,
    }
}

fn client(host: &str, tls: Option<TlsFiles>) -> Result<Client, Error> {
    Client::new(&Settings { host: host.to_owned(), tls, docker_config: None })
}

#[tokio::test]
async fn both_sides_newest_version_is_spoken_and_settled_once() {
    let directory = tempfile::tempdir().unwrap();
    for (api, oldest, spoken) in [
        ("1.41", "1.12", "1.41"),
        ("1.51", "1.24", "1.51"),
        ("1.60", "1.44", "1.51"),
        ("2.0", "1.99", "1.99"),
    ] {
        let engine = Engine::new(api, oldest);
        let client = engine.listen(&directory.path().join(api));
        for _ in 0..2 {
            let answer: Vec<String> = client.get("/tasks").value().await.unwrap();
            assert_eq!(answer, [format!("/v{spoken}/tasks")]);
        }
        assert_eq!(engine.asked().iter().filter(|uri| *uri == "/version").count(), 1);
    }
}

#[tokio::test]
async fn queries_are_escaped() {
    let directory = tempfile::tempdir().unwrap();
    let client = Engine::new("1.41", "1.12").listen(&directory.path().join("socket"));
    let call = client.get("/tasks").filters(&[("label", &["a=b&c"])]).query("tail", "3");
    let answer: Vec<String> = call.value().await.unwrap();
    assert_eq!(answer, ["/v1.41/tasks?filters=%7B%22label%22%3A%5B%22a%3Db%26c%22%5D%7D&tail=3"]);
}

#[tokio::test]
async fn what_goes_wrong_is_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let absent = client(&format!("unix://{}", socket.display()), None).unwrap();
    let error = absent.get("/tasks").done().await.unwrap_err();
    assert_eq!(error.trouble(), Trouble::Unreachable);
    assert!(error.to_string().contains("/socket`"), "{error}");

    let client = Engine::new("1.41", "1.12").listen(&socket);
    let missing = client.get("/missing").done().await.unwrap_err();
    assert_eq!(missing.trouble(), Trouble::NotFound);
    assert_eq!(missing.to_string(), "no such thing (HTTP 404)");
    let garbage = client.get("/garbage").value::<Vec<String>>().await.unwrap_err();
    assert!(matches!(garbage, Error::Answer { .. }), "{garbage}");
    let large = client.container("x").download("/y", 3).await.unwrap_err();
    assert!(matches!(large, Error::TooLarge { limit: 3, .. }), "{large}");
    assert_eq!(client.container("gone").download("/y", 3).await.unwrap(), None);
    let unwatched = client.container("gone").watch().await.err().unwrap();
    assert_eq!(unwatched.to_string(), "gone (HTTP 404)");
    let inspected = client.container("garbage").inspect().await.unwrap_err();
    assert!(matches!(inspected, Error::Answer { .. }), "{inspected}");
    let unreached = absent_engine(directory.path()).container("x").start().await.unwrap_err();
    assert_eq!(unreached.trouble(), Trouble::Unreachable);
    assert!(unreached.during("start").chain().contains("No such file"));

    // The engine was not there before and is now: nothing has to be made anew.
    absent.get("/tasks").done().await.unwrap();
}

fn absent_engine(directory: &Path) -> Client {
    client(&format!("unix://{}", directory.join("absent").display()), None).unwrap()
}

#[tokio::test]
async fn bollard_speaks_the_settled_version_over_the_same_pool() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::new("1.41", "1.12");
    let client = engine.listen(&directory.path().join("socket"));
    client.container("abc").start().await.unwrap();
    client.get("/tasks").done().await.unwrap();
    assert_eq!(engine.asked(), ["/version", "/v1.41/containers/abc/start", "/v1.41/tasks"]);
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let client = Engine::new("1.41", "1.12").listen(&directory.path().join("socket"));
    let flooded = client.get("/flood").value::<Value>().await.unwrap_err();
    assert!(matches!(flooded, Error::TooLarge { limit: LARGEST, .. }), "{flooded}");
    client.get("/tasks").done().await.unwrap();
}

#[tokio::test]
async fn lines_come_whole_until_the_connection_ends() {
    let directory = tempfile::tempdir().unwrap();
    let client = Engine::new("1.41", "1.12").listen(&directory.path().join("socket"));
    let lines: Vec<String> = client.get("/lines").lines().await.unwrap().collect().await;
    assert_eq!(lines, ["one", "{\"a\":1}", ""]);
    let refused = client.get("/missing").lines().await.err().unwrap();
    assert_eq!(refused.trouble(), Trouble::NotFound);
}

#[tokio::test]
async fn an_exit_code_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    let client = Engine::new("1.41", "1.12").listen(&directory.path().join("socket"));
    let exit = client.container("failed").watch().await.unwrap().await.unwrap();
    assert_eq!(exit, crate::docker::Exit { code: 3, error: None });
}

/// The fake engine answers with the header that it got.
#[tokio::test]
async fn credentials_go_out_in_the_alphabet_that_engines_read() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    Engine::new("1.41", "1.12").listen(&socket);
    // This needs the two characters in which the alphabets differ, wherever it stands.
    let auth = base64::engine::general_purpose::STANDARD.encode("me:~~~~~~??????");
    let config = json!({ "auths": { "registry:5000": { "auth": auth } } });
    std::fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    let client = Client::new(&Settings {
        host: format!("unix://{}", socket.display()),
        tls: None,
        docker_config: Some(directory.path().to_owned()),
    });
    let image = "registry:5000/books-ms:7".parse().unwrap();
    let sent = client.unwrap().pin(&image).await.unwrap().digest;
    assert!(sent.contains(['-', '_']) && !sent.contains(['+', '/']), "{sent}");
    let read = base64::engine::general_purpose::URL_SAFE.decode(sent).unwrap();
    let read: Value = serde_json::from_slice(&read).unwrap();
    assert_eq!(read["password"], "~~~~~~??????");
}

/// An authority with a certificate that it signed for `127.0.0.1`, in files as `docker` wants them.
struct Authority {
    files: TlsFiles,
    acceptor: TlsAcceptor,
}

impl Authority {
    fn make(directory: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = parameters.self_signed(&key).unwrap();
        let issuer = Issuer::new(parameters, key);
        let put = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let sign = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (leaf.signed_by(&key, &issuer).unwrap(), key)
        };
        let (server, server_key) = sign("127.0.0.1");
        let (person, person_key) = sign("deployer");
        Self {
            files: TlsFiles {
                ca: Some(put("ca.pem", root.pem())),
                client: Some((
                    put("cert.pem", person.pem()),
                    put("key.pem", person_key.serialize_pem()),
                )),
            },
            acceptor: acceptor(root.der(), server.der(), &server_key),
        }
    }
}

fn acceptor(
    root: &CertificateDer<'static>,
    certificate: &CertificateDer<'static>,
    key: &KeyPair,
) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let configuration = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![certificate.clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    TlsAcceptor::from(Arc::new(configuration))
}

#[tokio::test]
async fn over_tcp_both_sides_show_their_certificates() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::make(directory.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    let acceptor = authority.acceptor.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(Engine::new("1.41", "1.12").serve(stream));
            }
        }
    });
    let known = client(&host, Some(authority.files.clone())).unwrap();
    known.get("/tasks").done().await.unwrap();

    let nameless = TlsFiles { client: None, ..authority.files.clone() };
    let error = client(&host, Some(nameless)).unwrap().get("/tasks").done().await.unwrap_err();
    assert_eq!(error.trouble(), Trouble::Unreachable);

    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = Authority::make(elsewhere.path());
    let misled = TlsFiles { ca: stranger.files.ca, client: authority.files.client.clone() };
    let error = client(&host, Some(misled)).unwrap().get("/tasks").done().await.unwrap_err();
    assert!(error.during("list tasks").chain().contains("certificate"));
}

#[tokio::test]
async fn a_tls_file_that_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let files = TlsFiles { ca: Some(ca.clone()), client: None };
    let refused = |why: &str| {
        let Err(error) = client("tcp://127.0.0.1:2376", Some(files.clone())) else {
            panic!("{why} was taken");
        };
        assert!(error.to_string().contains("ca.pem"), "{error}");
        assert_eq!(error.trouble(), Trouble::Invalid);
    };
    refused("a missing file");
    std::fs::write(&ca, "nothing").unwrap();
    refused("a file without certificates");
}
