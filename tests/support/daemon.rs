//! The fake, served as the daemon serves it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use verdigris::api::auth::{Auth, hash};
use verdigris::api::{Holds, Listener, Surroundings, router, serve};
use verdigris::client::{Client, DaemonAddress};
use verdigris::config::{Scope, Token};

use super::fake::{Fake, Shared};

/// Tokens by what they allow.
pub const READ: &str = "read-token";
pub const DEPLOY: &str = "deploy-token";
pub const OPERATE: &str = "operate-token";
pub const BOOKS: &str = "books-token";
pub const ALL: &str = "all-token";

pub struct Daemon {
    pub fake: Arc<Fake>,
    pub directory: TempDir,
    pub socket: PathBuf,
    pub tcp: SocketAddr,
    pub ready: watch::Sender<bool>,
    pub holds: Holds,
    shutdown: CancellationToken,
    listeners: Vec<JoinHandle<()>>,
}

impl Daemon {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, Arc::default()).await
    }

    /// A daemon that finds what an earlier one left.
    pub async fn start_in(directory: TempDir, fake: Arc<Fake>) -> Self {
        Self::start_at(directory, fake, ([127, 0, 0, 1], 0).into()).await
    }

    /// The same at a known address.
    pub async fn start_at(directory: TempDir, fake: Arc<Fake>, address: SocketAddr) -> Self {
        let socket = directory.path().join("verdigris.sock");
        let unix = Listener::unix(&socket).await.unwrap();
        let tcp = Listener::tcp(address).await.unwrap();
        let address = tcp.address().unwrap();
        let (ready, is_ready) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let control = Arc::new(Shared(fake.clone()));
        let holds = Holds::new(control.clone(), shutdown.clone());
        let surroundings = Surroundings {
            holds: holds.clone(),
            control,
            ready: is_ready,
            metrics: Arc::new(metrics()),
            shutdown: shutdown.clone(),
        };
        let over_unix = router(surroundings.clone(), Auth::Socket);
        let over_tcp = router(surroundings, Auth::Tokens(tokens()));
        let listeners = vec![
            tokio::spawn(serve(unix, over_unix, shutdown.clone())),
            tokio::spawn(serve(tcp, over_tcp, shutdown.clone())),
        ];
        Self { fake, directory, socket, tcp: address, ready, holds, shutdown, listeners }
    }

    /// Stop, and give back what a next one starts from.
    pub async fn stop(self) -> (TempDir, Arc<Fake>) {
        self.shutdown.cancel();
        for listener in self.listeners {
            listener.await.unwrap();
        }
        (self.directory, self.fake)
    }

    pub fn address(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.tcp)
    }

    /// A client over the unix socket.
    pub fn client(&self) -> Client {
        Client::new(self.address().parse::<DaemonAddress>().unwrap(), None).unwrap()
    }

    /// Speaks raw HTTP to the unix socket.
    pub fn http(&self) -> reqwest::Client {
        plain().unix_socket(self.socket.clone()).build().unwrap()
    }

    /// Speaks raw HTTP over TCP.
    #[allow(clippy::unused_self, reason = "asked of a daemon, as its sibling")]
    pub fn http_over_tcp(&self) -> reqwest::Client {
        plain().build().unwrap()
    }
}

pub fn plain() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tls_certs_only([])
}

fn metrics() -> Registry {
    let mut registry = Registry::default();
    let deployments: Counter = Counter::default();
    deployments.inc();
    registry.register("verdigris_deployments", "Deployments accepted", deployments);
    registry
}

fn tokens() -> Vec<Token> {
    let token = |text: &str, scopes: &[Scope], services: &[&str]| Token {
        name: text.trim_end_matches("-token").to_owned(),
        hash: hash(text),
        scopes: scopes.to_vec(),
        services: services.iter().map(|text| (*text).to_owned()).collect(),
    };
    vec![
        token(READ, &[Scope::Read], &[]),
        token(DEPLOY, &[Scope::Deploy], &[]),
        token(OPERATE, &[Scope::Operate], &[]),
        token(ALL, &[Scope::Deploy, Scope::Operate], &[]),
        token(BOOKS, &[Scope::Deploy, Scope::Operate], &["books-*"]),
    ]
}
