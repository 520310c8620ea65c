//! A real proxy in a temporary directory, and a fleet of one over it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use verdigris::deploy::ports::Proxies;
use verdigris::model::{Backend, Colour, RouteRule, ServiceName, ServiceView};
use verdigris::proxy::{Fleet, Kind, Settings};
use verdigris::registry::embedded::Embedded;

/// The host name that tests use.
pub const HOST: &str = "books.example.com";

/// One proxy with its directory.
pub struct World {
    pub settings: Settings,
    pub directory: tempfile::TempDir,
    /// What a keeper without memory asks: empty.
    pub registry: Embedded,
    proxy: Option<Child>,
}

/// Files by path; a failed comparison shows their names and lengths, not their bytes.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Files(BTreeMap<String, Vec<u8>>);

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(path, bytes)| (path, bytes.len()))).finish()
    }
}

/// Skips loudly where the proxy is not installed.
macro_rules! world {
    ($kind:expr) => {
        match World::new($kind) {
            Some(world) => world,
            None => {
                eprintln!("SKIPPED: {} is not installed", $kind);
                return;
            }
        }
    };
}
pub(crate) use world;

/// A port that nobody listens on. Not one that the kernel gives away: those are also what clients
/// connect from, and one of theirs could take it before the proxy does.
pub fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 200).unwrap() * 100;
    for _ in 0..20_000 {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}

pub fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

impl World {
    pub fn new(kind: Kind) -> Option<Self> {
        crate::logged::keep();
        let program = program(kind)?;
        let directory = tempfile::tempdir().unwrap();
        // The proxies' workers run as somebody else.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("certificates")).unwrap();
        renew_certificate(directory.path());
        let text = |path: PathBuf| path.display().to_string();
        let nginx = kind == Kind::Nginx;
        let check: Vec<String> = if nginx {
            vec![
                text(program),
                "-p".into(),
                text(at("")),
                "-e".into(),
                "stderr".into(),
                "-t".into(),
                "-q".into(),
                "-c".into(),
                "{file}".into(),
            ]
        } else {
            vec![text(program), "-c".into(), "-f".into(), "{file}".into()]
        };
        let settings = Settings {
            name: format!("edge-{kind}"),
            kind,
            template: None,
            output: at(if nginx { "nginx.conf" } else { "haproxy.cfg" }),
            flags: nginx.then(|| at("flags")),
            map: (!nginx).then(|| at("hosts.map")),
            check,
            reload: None,
            pid_file: Some(at("proxy.pid")),
            master_socket: (!nginx).then(|| at("master.sock")),
            runtime_socket: (!nginx).then(|| at("runtime.sock")),
            status: free_port(),
            http: Some(free_port()),
            https: Some(free_port()),
            ca: Some(at("ca.pem")),
            certificates: Some(at("certificates")),
            user: None,
            state: at("state"),
        };
        let registry = Embedded::open(directory.path()).unwrap();
        let mut world = Self { settings, directory, registry, proxy: None };
        world.bootstrap();
        world.start_proxy();
        Some(world)
    }

    pub fn http(&self) -> SocketAddr {
        self.settings.http.unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn bootstrap(&self) {
        let Settings { status, output, .. } = &self.settings;
        let text = match self.settings.kind {
            Kind::Nginx => format!(
                "pid {};\nevents {{}}\nhttp {{ access_log off; server {{ listen {status}; location = /generation {{ return 200 \"0\\n\"; }} }} }}\n",
                self.path("proxy.pid").display()
            ),
            Kind::Haproxy => format!(
                "defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\nfrontend generation\n  bind {status}\n  http-request return status 200 content-type text/plain string \"0\\n\"\n"
            ),
        };
        fs::write(output, text).unwrap();
    }

    /// Start the proxy on its files.
    pub fn start_proxy(&mut self) {
        self.start_proxy_at(self.settings.status);
    }

    /// Somebody else writes its configuration, which knows nothing of ours, and starts it.
    pub fn start_proxy_by_other_files(&mut self) {
        let http = self.http();
        let text = match self.settings.kind {
            Kind::Nginx => format!(
                "pid {};\nevents {{}}\nhttp {{ access_log off; server {{ listen {http}; return 418; }} }}\n",
                self.path("proxy.pid").display()
            ),
            Kind::Haproxy => format!(
                "defaults\n  mode http\n  timeout connect 1s\n  timeout client 1s\n  timeout server 1s\nfrontend other\n  bind {http}\n  http-request return status 418 content-type text/plain string x\n"
            ),
        };
        fs::write(&self.settings.output, text).unwrap();
        self.start_proxy_at(http);
    }

    fn start_proxy_at(&mut self, listener: SocketAddr) {
        let program = program(self.settings.kind).unwrap();
        let mut command = Command::new(program);
        let log = fs::File::create(self.path("log")).unwrap();
        match self.settings.kind {
            Kind::Nginx => command
                .args(["-g", "daemon off;"])
                .arg("-p")
                .arg(self.path(""))
                .arg("-e")
                .arg(self.path("error.log"))
                .arg("-c")
                .arg(&self.settings.output),
            Kind::Haproxy => command
                .args(["-W", "-S"])
                .arg(format!("{},mode,600,level,admin", self.path("master.sock").display()))
                .arg("-p")
                .arg(self.path("proxy.pid"))
                .arg("-f")
                .arg(&self.settings.output),
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.proxy = Some(child);
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(listener).is_err() {
            assert!(Instant::now() < deadline, "the proxy does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stop the proxy with all its processes.
    pub fn stop_proxy(&mut self) {
        let Some(mut child) = self.proxy.take() else {
            return;
        };
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).unwrap();
        child.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(self.settings.status).is_ok() {
            assert!(Instant::now() < deadline, "the proxy does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Wait until the proxy has ended by itself.
    pub fn await_end(&mut self) {
        if let Some(mut child) = self.proxy.take() {
            child.wait().unwrap();
        }
    }

    /// The master's process id.
    pub fn pid(&self) -> u32 {
        self.proxy.as_ref().unwrap().id()
    }

    /// What the proxy said.
    pub fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.path(name)).unwrap_or_default();
        format!("{}{}", read("log"), read("error.log"))
    }

    pub async fn fleet(&self) -> Fleet {
        self.try_fleet().await.unwrap()
    }

    pub async fn try_fleet(&self) -> Result<Fleet, verdigris::proxy::Error> {
        Fleet::start(vec![self.settings.clone()], &self.registry).await
    }

    /// Give `fleet` up, and wait until its keeper has ended: only then are its files nobody's.
    pub async fn end(&self, fleet: Fleet) {
        drop(fleet);
        let Settings { state, name, .. } = &self.settings;
        let lock = File::open(state.join(format!("proxy-{name}.lock"))).unwrap();
        within(10, async {
            while lock.try_lock().is_err() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Everything that the proxy reads, byte for byte; of the flags what they say to new connections.
    pub fn files(&self) -> Files {
        let mut found = Files::default();
        let config = fs::read_to_string(&self.settings.output).unwrap_or_default();
        let mut add = |path: &Path| {
            if let Ok(bytes) = fs::read(path) {
                found.0.insert(path.display().to_string(), bytes);
            }
        };
        add(&self.settings.output);
        if let Some(map) = &self.settings.map {
            add(map);
        }
        if let Some(flags) = &self.settings.flags {
            for entry in fs::read_dir(flags).unwrap().flatten() {
                // Flags that the file does not test for are for workers that read another one.
                let tested = config.contains(&entry.path().display().to_string());
                if tested && entry.file_type().unwrap().is_file() {
                    add(&entry.path());
                }
            }
        }
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the proxy said:\n{}", self.log());
        }
        self.stop_proxy();
    }
}

fn program(kind: Kind) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(kind.as_str()))
        .find(|path| path.exists())
}

/// An authority, and certificates of it for `*.example.com` and `www.example.org`.
pub fn renew_certificate(directory: &Path) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = authority.self_signed(&authority_key).unwrap();
    fs::write(directory.join("ca.pem"), ca.pem()).unwrap();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    for (host, file) in [("*.example.com", "example.pem"), ("www.example.org", "other.pem")] {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let pem = format!("{}{}", leaf.pem(), key.serialize_pem());
        fs::write(directory.join("certificates").join(file), pem).unwrap();
    }
}

/// A view of `service` on one host, everything below `/`.
pub fn view(service: &str, host: &str, live: Option<Colour>) -> ServiceView {
    ServiceView {
        service: name(service),
        rule: RouteRule { hosts: vec![host.to_owned()], path: "/".to_owned(), tls: true },
        live,
        generation: 1,
        backends: BTreeMap::new(),
    }
}

/// Make `backends` live as `colour` the way that a deployment does.
pub async fn deploy(fleet: &Fleet, view: &ServiceView, colour: Colour, backends: &[Backend]) {
    fleet.stage(view, colour, backends).await.unwrap();
    fleet.flip(&view.service, colour, view.generation + 1).await.unwrap();
}

/// Reloads of the only proxy so far.
pub fn reloads(fleet: &Fleet) -> u64 {
    fleet.status()[0].reloads
}

/// What a new client is answered below `/`.
pub async fn body(world: &World) -> String {
    crate::client::get(world.http(), HOST, "/").await.unwrap().body
}

/// The result of `future`, which must come within so many seconds.
pub async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), future).await.expect("takes too long")
}
