//! The pool of testbeds: each is leased to one test at a time, brought up when it is first needed, and
//! taken down by the run's caretaker.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::run::{self, BEDS};

/// A testbed that is up.
pub struct Bed {
    name: String,
    env: BTreeMap<String, String>,
}

impl Bed {
    /// Brings up the testbed `part` of this run with `nodes` nodes, and the sample images in its registry.
    pub fn up(part: &str, nodes: usize) -> Self {
        let bed = Self::bare(part, nodes);
        bed.push_images();
        bed
    }

    /// Brings up the testbed `part` of this run with `nodes` nodes, and no image in its registry.
    pub fn bare(part: &str, nodes: usize) -> Self {
        let mut bed = Self { name: run::bed(part), env: BTreeMap::new() };
        bed.testbed(&["up", "--nodes", &nodes.to_string()]);
        bed.env = bed.testbed(&["env"]).lines().filter_map(assignment).collect();
        bed
    }

    /// Runs `scripts/testbed`; what it prints.
    pub fn testbed(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(run::root().join("scripts/testbed"));
        said(command.args(arguments).env("TESTBED_NAME", &self.name))
    }

    /// Pushes one image, as `scripts/images variant` does; `repository@digest`.
    pub fn push(&self, arguments: &[&str]) -> String {
        let mut command = run::building(run::root().join("scripts/images"));
        said(command.arg("variant").args(arguments).envs(&self.env)).trim().to_owned()
    }

    fn push_images(&self) {
        static BUILT: LazyLock<()> = LazyLock::new(|| {
            said(run::building(run::root().join("scripts/images")).arg("build"));
        });
        LazyLock::force(&BUILT);
        for edition in ["1.0", "2.0", "3.0"] {
            self.push(&[&format!("books-ms:{edition}"), &format!("BOOKS_EDITION={edition}")]);
        }
        self.push(&["books-ms-tests:1.0"]);
        self.push(&["--private", "books-ms:1.0", "BOOKS_EDITION=1.0"]);
    }

    /// A line of `testbed env`.
    pub fn env(&self, name: &str) -> &str {
        self.env.get(name).unwrap_or_else(|| panic!("`testbed env` does not tell `{name}`"))
    }

    /// Where it lives.
    pub fn directory(&self) -> &Path {
        Path::new(self.env("TESTBED_DIR"))
    }

    /// The socket of the first engine.
    pub fn docker_socket(&self) -> PathBuf {
        self.env("DOCKER_HOST").trim_start_matches("unix://").into()
    }

    /// The sockets of all engines that answer: one that was killed leaves its file behind.
    pub fn docker_sockets(&self) -> Vec<PathBuf> {
        let hosts = self
            .env
            .iter()
            .filter(|(name, _)| name.starts_with("TESTBED_NODE") && name.ends_with("_HOST"));
        let sockets = hosts.map(|(_, host)| PathBuf::from(host.trim_start_matches("unix://")));
        sockets.filter(|socket| UnixStream::connect(socket).is_ok()).collect()
    }

    /// Runs `docker` against the first engine; what it prints.
    pub fn docker(&self, arguments: &[&str]) -> String {
        said(Command::new("docker").args(["-H", self.env("DOCKER_HOST")]).args(arguments))
    }

    /// The public address of a proxy.
    pub fn address(&self, proxy: &str) -> IpAddr {
        self.env(&format!("TESTBED_{}", proxy.to_uppercase())).parse().unwrap()
    }

    /// `name` in the registry of images.
    pub fn image(&self, name: &str) -> String {
        format!("{}/{name}", self.env("TESTBED_IMAGES"))
    }

    /// Somebody else on the edge host listens on `port`, until the testbed is down.
    pub fn occupy_port(&self, port: u16) {
        let inside = ["exec", "edge", "busybox", "nc", "-l", "-p"];
        let mut command = Command::new(run::root().join("scripts/testbed"));
        command.args(inside).arg(port.to_string()).env("TESTBED_NAME", &self.name);
        // The end of the testbed is its end, too.
        drop(command.stdin(Stdio::piped()).spawn().unwrap());
        let listening = format!(":{port} ");
        for _ in 0..200 {
            if self.testbed(&["exec", "edge", "ss", "-ltn"]).contains(&listening) {
                return;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("nobody listens on port {port}");
    }

    /// As if nothing had been deployed here before, whatever the last test left broken.
    pub fn reset(&self) {
        self.testbed(&["engine", "1", "start"]);
        let services = self.docker(&["service", "ls", "-q"]);
        let services: Vec<&str> = services.lines().collect();
        if !services.is_empty() {
            self.docker(&[&["service", "rm"], &services[..]].concat());
        }
        let left = self.docker(&["ps", "-aq"]);
        let left: Vec<&str> = left.lines().collect();
        if !left.is_empty() {
            // Swarm removes the same ones meanwhile: what is gone already is no trouble.
            let mut command = Command::new("docker");
            command.args(["-H", self.env("DOCKER_HOST"), "rm", "-f"]).args(left);
            command.output().unwrap();
        }
        self.testbed(&["registry", "start"]);
        self.testbed(&["consul", "wipe"]);
        for proxy in ["nginx", "haproxy"] {
            self.testbed(&["proxy", proxy, "start"]);
        }
    }
}

/// Runs `command`; what it prints.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// `NAME=value`, quoted as bash does where that is needed.
fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    Some((name.to_owned(), value.replace('\\', "").trim_matches('\'').to_owned()))
}

/// A testbed that one test has for itself.
pub struct Lease {
    bed: Option<Arc<Bed>>,
    /// Others may have it afterwards.
    pooled: bool,
    _permit: OwnedSemaphorePermit,
}

impl std::ops::Deref for Lease {
    type Target = Bed;

    fn deref(&self) -> &Bed {
        self.bed.as_deref().expect("it is there until dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.pooled {
            POOL.free.lock().unwrap().extend(self.bed.take());
        } else if !std::thread::panicking() {
            // Of a test that fails, the caretaker does it.
            self.testbed(&["down"]);
        }
    }
}

struct Pool {
    permits: Arc<Semaphore>,
    free: Mutex<Vec<Arc<Bed>>>,
    made: AtomicUsize,
}

impl Pool {
    /// A name for another testbed.
    fn number(&self) -> String {
        (self.made.fetch_add(1, Ordering::Relaxed) + 1).to_string()
    }
}

static POOL: LazyLock<Pool> = LazyLock::new(|| Pool {
    permits: Arc::new(Semaphore::new(BEDS)),
    free: Mutex::default(),
    made: AtomicUsize::new(0),
});

/// Waits for a testbed, and has it as if new. None when tests on real parts are left out.
pub async fn lease() -> Option<Lease> {
    if !run::possible() {
        return None;
    }
    let permit = Arc::clone(&POOL.permits).acquire_owned().await.unwrap();
    let free = POOL.free.lock().unwrap().pop();
    let bed = if let Some(bed) = free {
        bed.reset();
        bed
    } else {
        Arc::new(Bed::up(&POOL.number(), 1))
    };
    Some(Lease { bed: Some(bed), pooled: true, _permit: permit })
}

/// Waits until there may be one more testbed, and brings one up with `nodes` nodes, which goes with the
/// test: what was done to its nodes is nobody else's to mend.
pub async fn lease_of(nodes: usize) -> Option<Lease> {
    if !run::possible() {
        return None;
    }
    let permit = Arc::clone(&POOL.permits).acquire_owned().await.unwrap();
    let bed = Arc::new(Bed::up(&POOL.number(), nodes));
    Some(Lease { bed: Some(bed), pooled: false, _permit: permit })
}

/// The testbed that the tests of single adapters share; they keep out of each other's way by names.
pub fn shared() -> Option<&'static Bed> {
    static SHARED: LazyLock<Bed> = LazyLock::new(|| Bed::up("shared", 1));
    run::possible().then(|| &*SHARED)
}
