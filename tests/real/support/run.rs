//! This run as a whole: whether it can be made, its directory, and what cleans up after it however
//! it ends.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// Commands without which no testbed comes up.
const TOOLS: [&str; 8] =
    ["dockerd", "docker-registry", "nginx", "haproxy", "consul", "ip", "jq", "curl"];

/// Debian keeps daemons where an ordinary `PATH` does not look.
const MORE_PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin";

/// How many testbeds there are at most: as many tests of a whole daemon run side by side.
pub const BEDS: usize = 3;

/// Whether tests on real parts can be run here; says loudly, once, when they are left out.
///
/// `VERDIGRIS_REAL=0` leaves them out; `VERDIGRIS_REAL=1` makes leaving them out a failure.
pub fn possible() -> bool {
    static OBSTACLE: LazyLock<Option<String>> = LazyLock::new(|| {
        let obstacle = obstacle();
        if let Some(obstacle) = &obstacle {
            // Past the capture of output: who runs the tests must see this.
            let line = format!("\nSKIPPED: the tests on real parts: {obstacle}\n");
            std::io::stderr().write_all(line.as_bytes()).expect("stderr can be written");
        }
        obstacle
    });
    let wanted = std::env::var("VERDIGRIS_REAL").unwrap_or_default();
    match &*OBSTACLE {
        Some(obstacle) if wanted == "1" => panic!("VERDIGRIS_REAL=1, but {obstacle}"),
        obstacle => obstacle.is_none(),
    }
}

fn obstacle() -> Option<String> {
    if std::env::var("VERDIGRIS_REAL").is_ok_and(|wanted| wanted == "0") {
        return Some("VERDIGRIS_REAL=0 leaves them out".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("they make network namespaces, and this is not root".to_owned());
    }
    let mut missing: Vec<&str> = TOOLS.into_iter().filter(|tool| !is_installed(tool)).collect();
    if faketime().is_none() {
        missing.push("libfaketime");
    }
    (!missing.is_empty()).then(|| format!("missing: {}: run `scripts/setup`", missing.join(", ")))
}

fn is_installed(tool: &str) -> bool {
    path().split(':').any(|directory| Path::new(directory).join(tool).is_file())
}

/// Where to look for commands.
pub fn path() -> String {
    format!("{}:{MORE_PATH}", std::env::var("PATH").unwrap_or_default())
}

/// Where the package `libfaketime` puts its library on this architecture.
pub fn faketime() -> Option<PathBuf> {
    let architectures = std::fs::read_dir("/usr/lib").ok()?.flatten();
    let mut libraries = architectures.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    libraries.find(|path| path.exists())
}

/// The project's directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What else is to be built has the same dependencies with the same features, so that they are there
/// already. The examples, of which there are none, stand for what only tests depend on.
const SHARED: &str = "--workspace --all-features --examples";

/// A command that may build something, be it `cargo` or a script.
pub fn building(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("IMAGES_SHARE", SHARED);
    // What cargo tells its tests would make it build dependencies anew that look at it.
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_"];
    let told = |name: &String| told.iter().any(|start| name.starts_with(start));
    for name in std::env::vars().map(|(name, _)| name).filter(told) {
        command.env_remove(name);
    }
    command
}

/// The load client.
pub fn load_client() -> PathBuf {
    let mut cargo = building(std::env::var("CARGO").unwrap_or("cargo".to_owned()));
    cargo.args(["build", "--quiet", "--locked", "--bin", "verdigris-load"]).args(SHARED.split(' '));
    let built = cargo.arg("--manifest-path").arg(root().join("Cargo.toml")).status().unwrap();
    assert!(built.success(), "the load client is not built");
    Path::new(super::daemon::BINARY).with_file_name("verdigris-load")
}

/// A name of this run that no other run on the machine has.
pub fn name(part: &str) -> String {
    format!("real-{}-{part}", std::process::id())
}

/// A directory of this run. With the first call the caretaker begins to wait for the end of it.
pub fn directory() -> PathBuf {
    static CARETAKER: LazyLock<Caretaker> = LazyLock::new(Caretaker::start);
    CARETAKER.directory.clone()
}

/// A name for a testbed, which the caretaker takes down if it is still up at the end.
pub fn bed(part: &str) -> String {
    let name = name(part);
    std::fs::write(directory().join("beds").join(&name), "").unwrap();
    name
}

/// Remembers that the process `pid` is to be ended when this run ends, however it does.
pub fn adopt(pid: u32) {
    std::fs::write(directory().join("pids").join(pid.to_string()), "").unwrap();
}

/// A shell that outlives this process by a little: it waits for the end of its standard input, which
/// only our end brings, then takes down whatever this run has brought up.
struct Caretaker {
    directory: PathBuf,
    _waits: Child,
}

const CARETAKER: &str = r#"
cat >/dev/null
for file in "$1"/pids/*; do
  pid=${file##*/}
  if grep -qs "$1" "/proc/$pid/cmdline"; then kill -KILL "$pid"; fi
done
for bed in "$1"/beds/*; do
  if [ -e "$bed" ]; then TESTBED_NAME=${bed##*/} "$2" down; fi
done
for mount in "$1"/mounts/*; do
  if [ -L "$mount" ]; then umount -l "$(readlink -f "$mount")"; fi
done
rm -rf "$1"
"#;

impl Caretaker {
    fn start() -> Self {
        clean_up_after_others();
        let directory = PathBuf::from(format!("/tmp/verdigris-{}", name("run")));
        for part in ["pids", "beds", "mounts"] {
            std::fs::create_dir_all(directory.join(part)).unwrap();
        }
        let waits = Command::new("setsid")
            .args(["sh", "-c", CARETAKER, "caretaker"])
            .arg(&directory)
            .arg(root().join("scripts/testbed"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("`setsid` is installed");
        Self { directory, _waits: waits }
    }
}

/// Testbeds of runs whose process is gone, and whose caretaker is gone too.
fn clean_up_after_others() {
    let listed = Command::new(root().join("scripts/testbed")).arg("list").output().unwrap();
    for line in String::from_utf8_lossy(&listed.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let pid = name.strip_prefix("real-").and_then(|rest| rest.split('-').next());
        let Some(pid) = pid.filter(|pid| pid.parse::<u32>().is_ok()) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            let mut down = Command::new(root().join("scripts/testbed"));
            down.arg("down").env("TESTBED_NAME", name).stderr(Stdio::null());
            assert!(down.status().unwrap().success(), "testbed `{name}` does not go down");
        }
    }
}
