//! `scripts/setup`: on a machine that lacks something, with a package manager that only notes what it
//! is asked. All of it in a mount namespace, so that the machine itself stays as it is.

use std::path::PathBuf;
use std::process::Command;

use crate::support::run;

/// Where commands are looked for, links to those of this machine.
const LINKS: &str = r#"
for directory in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
  # What has a link already keeps it, as the first one on the PATH counts.
  ln -s "$directory"/* "$1/" 2>/dev/null || true
done
"#;

/// Notes what it is asked, and whether services may start meanwhile; "installs" by linking back.
const APT: &str = r#"#!/bin/sh
echo "apt-get $*" >>"HOME/asked"
case "$*" in
*' install '*)
  if /usr/sbin/policy-rc.d; then echo may >>"HOME/starts"; else echo "may not ($?)" >>"HOME/starts"; fi
  ln -s /usr/bin/jq "HOME/bin/jq"
  ;;
esac
"#;

const SERVICES: &str = "#!/bin/sh\necho \"${0##*/} $*\" >>\"HOME/services\"\n";

/// /usr/sbin, where the script has something to put, is a copy that is thrown away.
const INSIDE: &str = r#"
set -e
mkdir "$1/upper"
mount -t tmpfs tmpfs "$1/upper"
mkdir "$1/upper/up" "$1/upper/work"
mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$1/upper/up,workdir=$1/upper/work" /usr/sbin
if [ -e "$1/os-release" ]; then mount --bind "$1/os-release" /etc/os-release; fi
rm -f /usr/sbin/policy-rc.d
if [ -n "$3" ]; then printf '%s' "$3" >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; fi
code=0
PATH=$1/bin HOME=$1 "$2" || code=$?
if [ -e /usr/sbin/policy-rc.d ]; then cp /usr/sbin/policy-rc.d "$1/policy"; fi
exit $code
"#;

/// A machine that has everything this one has, until something is taken away.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let bin = machine.path("bin");
        std::fs::create_dir(&bin).unwrap();
        let linked = Command::new("sh").args(["-c", LINKS, "sh"]).arg(&bin).status().unwrap();
        assert!(linked.success());
        machine.program("apt-get", APT);
        for name in ["systemctl", "service", "update-rc.d", "invoke-rc.d"] {
            machine.program(name, SERVICES);
        }
        for name in ["cargo", "rustc"] {
            machine.program(name, &format!("#!/bin/sh\necho {name} 1.99.0 \\(new\\)\n"));
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.path("bin").join(name);
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, text.replace("HOME", self.0.path().to_str().unwrap())).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// It has no `name`.
    fn lacking(self, name: &str) -> Self {
        std::fs::remove_file(self.path("bin").join(name)).unwrap();
        self
    }

    /// It is of another make.
    fn called(self, os_release: &str) -> Self {
        std::fs::write(self.path("os-release"), os_release).unwrap();
        self
    }

    /// Exit code, and what was said, of `scripts/setup` where `policy` says which services may start.
    fn setup(&self, policy: &str) -> (i32, String) {
        let _ = std::fs::remove_dir(self.path("upper"));
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", INSIDE, "sh"]);
        let script = run::root().join("scripts/setup");
        let output = command.args([self.0.path(), &script]).arg(policy).output().unwrap();
        let words = [output.stdout, output.stderr];
        let words = words.map(|it| String::from_utf8_lossy(&it).into_owned()).concat();
        (output.status.code().unwrap_or(-1), words)
    }

    /// The notes under `name`, none when nothing was noted.
    fn noted(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }
}

#[test]
fn where_everything_is_there_nothing_is_changed() {
    if !run::possible() {
        return;
    }
    let machine = Machine::new();
    for _ in 0..2 {
        let (code, words) = machine.setup("");
        assert_eq!(
            (code, words.as_str()),
            (0, "setup: every tool is there already\nsetup: ready\n")
        );
    }
    for notes in ["asked", "services", "policy"] {
        assert_eq!(machine.noted(notes), "", "{notes}");
    }
}

#[test]
fn what_is_missing_is_installed_once_and_no_service_starts() {
    if !run::possible() {
        return;
    }
    let machine = Machine::new().lacking("jq").called("ID=debian\n");
    let owners = "#!/bin/sh\n# the owner's\nexit 0\n";
    let (code, words) = machine.setup(owners);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("missing: jq\n") && words.ends_with("setup: ready\n"), "{words}");
    let asked = machine.noted("asked");
    assert!(
        asked.lines().any(|line| line.ends_with(" install -y --no-install-recommends jq")),
        "{asked}"
    );
    assert_eq!(machine.noted("starts"), "may not (101)\n");
    assert_eq!(machine.noted("policy"), owners, "the owner's own word is put back");
    let services = machine.noted("services");
    let disabling =
        |line: &str| line.starts_with("systemctl disable ") || line.ends_with(" disable");
    assert!(services.lines().all(disabling), "{services}");

    let (code, words) = machine.setup(owners);
    assert_eq!((code, words.as_str()), (0, "setup: every tool is there already\nsetup: ready\n"));
    assert_eq!(machine.noted("asked"), asked, "nothing is asked for again");
}

#[test]
fn on_another_distribution_it_says_what_to_install() {
    if !run::possible() {
        return;
    }
    let machine = Machine::new()
        .lacking("jq")
        .called("NAME=Fedora\nPRETTY_NAME=\"Fedora Linux 42\"\nID=fedora\n");
    let (code, words) = machine.setup("");
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("Fedora Linux 42 is neither Debian nor Ubuntu"), "{words}");
    for tool in ["Docker Engine", "nginx", "HAProxy", "docker-registry", "Consul", "jq", "busybox"]
    {
        assert!(words.contains(tool), "{tool}: {words}");
    }
    assert!(words.ends_with("Missing here: jq\n"), "{words}");
    assert_eq!(machine.noted("asked"), "", "nothing is installed");
}

#[test]
fn without_rust_or_with_an_old_one_it_says_what_to_do() {
    if !run::possible() {
        return;
    }
    let none = Machine::new().lacking("cargo");
    let (code, words) = none.setup("");
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("there is no Rust toolchain") && words.contains("rustup.rs"), "{words}");
    assert!(!words.contains("setup: ready"), "{words}");
    let old = Machine::new();
    old.program("rustc", "#!/bin/sh\necho rustc 1.70.0 \\(old\\)\n");
    let (code, words) = old.setup("");
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("Rust 1.70.0 is too old") && words.contains("rustup update"), "{words}");
}
