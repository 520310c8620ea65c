//! A Consul server of our own, on loopback and free ports.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;
use verdigris::registry::consul::{Consul, Settings};

use crate::certificates::{self, Certificates};

/// The token that may do everything, where there are tokens.
pub const MASTER: &str = "2c1a7b1e-0000-4000-8000-5ec4e7000001";

/// Electing itself takes a second; a busy machine many.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the server is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// Nothing is allowed without a token.
    Acl,
    /// HTTPS with a private authority, and clients need a certificate.
    Tls,
    /// Waits for two other servers that never come.
    Leaderless,
}

/// A running server; dropping it kills it and removes its data.
pub struct Agent {
    kind: Kind,
    child: Child,
    ports: Ports,
    directory: TempDir,
    certificates: Option<Certificates>,
    http: reqwest::Client,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    http: u16,
    https: u16,
    dns: u16,
    serf: u16,
    server: u16,
}

/// Whether there is a Consul to start; says so when not.
pub fn available() -> bool {
    let found = Command::new("consul")
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("left out: there is no `consul` on the PATH");
    }
    found
}

/// A server for all tests that run at the moment and want this kind; none where there is no Consul.
pub async fn shared(kind: Kind) -> Option<Arc<Agent>> {
    static PLAIN: Mutex<Weak<Agent>> = Mutex::const_new(Weak::new());
    static ACL: Mutex<Weak<Agent>> = Mutex::const_new(Weak::new());
    static TLS: Mutex<Weak<Agent>> = Mutex::const_new(Weak::new());
    let place = match kind {
        Kind::Plain => &PLAIN,
        Kind::Acl => &ACL,
        Kind::Tls => &TLS,
        Kind::Leaderless => panic!("of no use to others"),
    };
    let mut place = place.lock().await;
    if let Some(agent) = place.upgrade() {
        return Some(agent);
    }
    let agent = Arc::new(Agent::start(kind).await?);
    *place = Arc::downgrade(&agent);
    Some(agent)
}

impl Agent {
    /// A server for one test; none where there is no Consul.
    pub async fn start(kind: Kind) -> Option<Self> {
        if !available() {
            return None;
        }
        // The ports were free when they were chosen; another process may have been quicker.
        for _ in 0..5 {
            let directory = tempfile::tempdir().unwrap();
            let certificates = (kind == Kind::Tls).then(|| certificates::make(directory.path()));
            let ports = Ports::free();
            let http = client();
            let mut agent = Self {
                kind,
                child: launch(kind, ports, directory.path(), certificates.as_ref()),
                ports,
                directory,
                certificates,
                http,
            };
            if agent.comes_up().await {
                return Some(agent);
            }
        }
        panic!("Consul does not come up");
    }

    /// Whether it answers with a leader (or, leaderless, at all) before it ends.
    async fn comes_up(&mut self) -> bool {
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if self.is_up().await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    async fn is_up(&self) -> bool {
        let sign = match self.kind {
            Kind::Leaderless => "status/leader",
            // The first leader takes a moment to set up the first token.
            Kind::Acl => "acl/token/self",
            Kind::Plain | Kind::Tls => "catalog/nodes?consistent",
        };
        self.try_get(sign).await.is_some()
    }

    /// Kill it, keep its data.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Start it again on the same ports and data; it is not up yet.
    pub fn restart(&mut self) {
        let certificates = self.certificates.as_ref();
        self.child = launch(self.kind, self.ports, self.directory.path(), certificates);
    }

    /// Settings to reach it with every right.
    pub fn settings(&self) -> Settings {
        let address = match self.kind {
            Kind::Tls => format!("https://127.0.0.1:{}", self.ports.https),
            _ => format!("http://127.0.0.1:{}", self.ports.http),
        };
        let mut settings = Settings::new(address.parse().unwrap());
        if self.kind == Kind::Acl {
            settings.token_file = Some(self.token(MASTER));
        }
        if let Some(certificates) = &self.certificates {
            settings.ca = Some(certificates.ca.clone());
            settings.identity = Some(certificates.client.clone());
        }
        settings
    }

    pub fn registry(&self) -> Consul {
        Consul::new(&self.settings()).unwrap()
    }

    /// A new file with this token.
    pub fn token(&self, token: &str) -> PathBuf {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.path().join(format!("token-{number}"));
        std::fs::write(&path, format!("{token}\n")).unwrap();
        path
    }

    pub fn dns(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.ports.dns).into()
    }

    pub fn https(&self) -> u16 {
        self.ports.https
    }

    /// What the API answers, past the code under test.
    pub async fn get(&self, path: &str) -> Value {
        self.try_get(path).await.unwrap()
    }

    pub async fn try_get(&self, path: &str) -> Option<Value> {
        let request = self.http.get(self.url(path)).header("X-Consul-Token", MASTER);
        request.send().await.ok()?.json().await.ok()
    }

    /// Call the API past the code under test; it must succeed.
    pub async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> Value {
        let request = self.http.put(self.url(path)).header("X-Consul-Token", MASTER).body(body);
        let response = request.send().await.unwrap().error_for_status().unwrap();
        response.json().await.unwrap_or_default()
    }

    /// Delete past the code under test.
    pub async fn delete(&self, path: &str) {
        let request = self.http.delete(self.url(path)).header("X-Consul-Token", MASTER);
        request.send().await.unwrap().error_for_status().unwrap();
    }

    /// The raw bytes of a key; none if there is none.
    pub async fn key(&self, key: &str) -> Option<Vec<u8>> {
        let url = self.url(&format!("kv/{key}?raw"));
        let response = self.http.get(url).header("X-Consul-Token", MASTER).send().await.unwrap();
        match response.status().as_u16() {
            200 => Some(response.bytes().await.unwrap().into()),
            404 => None,
            other => panic!("{other}"),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/v1/{path}", self.ports.http)
    }
}

/// One that does not depend on what the code under test sets up. It keeps no connections: they would
/// belong to the runtime of one test, and the server is shared.
fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().tls_certs_only([]).pool_max_idle_per_host(0).build().unwrap()
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ports {
    /// Five different ones: all are held until all are found.
    fn free() -> Self {
        let held: [_; 5] = std::array::from_fn(|_| hold());
        let [http, https, dns, serf, server] = held.map(|(port, ..)| port);
        Self { http, https, dns, serf, server }
    }
}

/// A port that is free for TCP and UDP: DNS and gossip use both.
fn hold() -> (u16, TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = tcp.local_addr().unwrap().port();
        if let Ok(udp) = UdpSocket::bind(("127.0.0.1", port)) {
            return (port, tcp, udp);
        }
    }
}

fn launch(kind: Kind, ports: Ports, directory: &Path, tls: Option<&Certificates>) -> Child {
    let mut config = json!({
        "server": true,
        "bootstrap_expect": if kind == Kind::Leaderless { 3 } else { 1 },
        "node_name": "consul-under-test",
        "bind_addr": "127.0.0.1",
        "client_addr": "127.0.0.1",
        "data_dir": directory.join("data"),
        "performance": { "raft_multiplier": 1 },
        "disable_update_check": true,
        "ports": {
            "http": ports.http,
            "https": if kind == Kind::Tls { ports.https.into() } else { json!(-1) },
            "dns": ports.dns,
            "grpc": -1,
            "serf_lan": ports.serf,
            "serf_wan": -1,
            "server": ports.server,
        },
    });
    if kind == Kind::Acl {
        config["acl"] = json!({
            "enabled": true,
            "default_policy": "deny",
            "tokens": { "master": MASTER, "agent": MASTER },
        });
    }
    if let Some(tls) = tls {
        config["ca_file"] = json!(tls.ca);
        config["cert_file"] = json!(tls.server.0);
        config["key_file"] = json!(tls.server.1);
        config["verify_incoming_https"] = json!(true);
    }
    let file = directory.join("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let log = std::fs::File::create(directory.join("log")).unwrap();
    Command::new("consul")
        .args(["agent", "-config-file"])
        .arg(file)
        .stdout(log)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
