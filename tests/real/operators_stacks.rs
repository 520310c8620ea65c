//! The stacks in `compose/` that operators deploy by `docker stack deploy`, deployed so, around the
//! programs of this machine: no image can be pulled here.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::commands::said;
use crate::support::bed::{Bed, lease};
use crate::support::daemon::BINARY;
use crate::support::{curl, run};

/// An image of programs, each with its libraries, a busybox for health checks, and files.
const IMAGE: &str = r#"
set -eu
docker_host=$1 image=$2 entrypoint=$3 files=$4
shift 4
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/bin" "$root/usr/local/bin" "$root/tmp" "$root/etc"
cp "$(command -v busybox)" "$root/bin/"
for tool in sh wget grep rm; do ln -s busybox "$root/bin/$tool"; done
for program; do
  from=${program%%=*}
  cp "$(command -v "$from")" "$root/bin/${program##*=}"
  ldd "$(command -v "$from")" | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$root${library%/*}"
    cp -L "$library" "$root$library"
  done
done
if [ -n "$files" ]; then cp -r "$files/." "$root/"; fi
tar -C "$root" -c . | docker -H "$docker_host" import -c "ENTRYPOINT $entrypoint" - "$image"
"#;

struct Image<'a> {
    name: &'a str,
    entrypoint: &'a str,
    files: Option<&'a Path>,
    /// On the machine, and after `=` in the image.
    programs: &'a [&'a str],
}

impl Image<'_> {
    /// Only the engine has it.
    fn make(&self, bed: &Bed) {
        let mut shell = Command::new("sh");
        shell.args(["-c", IMAGE, "sh", bed.env("DOCKER_HOST"), &bed.image(self.name)]);
        shell.arg(self.entrypoint).arg(self.files.unwrap_or(Path::new(""))).args(self.programs);
        let output = shell.env("PATH", run::path()).output().unwrap();
        assert!(output.status.success(), "{}: {}", self.name, said(&output));
    }
}

/// As the head of the stack says, with some words of the file changed.
fn deploy(bed: &Bed, name: &str, changes: &[(&str, &str)]) {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(run::root().join("compose").join(name)).unwrap() {
        let path = entry.unwrap().path();
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (old, new) in changes {
            text = text.replace(old, new);
        }
        std::fs::write(directory.path().join(path.file_name().unwrap()), text).unwrap();
    }
    let mut docker = Command::new("docker");
    docker.args(["stack", "deploy", "-c", &format!("compose/{name}/stack.yml"), name]);
    let compose = directory.path().join("compose");
    std::fs::create_dir(&compose).unwrap();
    std::os::unix::fs::symlink(directory.path(), compose.join(name)).unwrap();
    docker.current_dir(directory.path()).env("DOCKER_HOST", bed.env("DOCKER_HOST"));
    let output = docker.env("REGISTRY", bed.env("TESTBED_IMAGES")).output().unwrap();
    assert!(output.status.success(), "{name}: {}", said(&output));
}

fn label(bed: &Bed, name: &str) {
    bed.docker(&["node", "update", "--label-add", &format!("{name}=true"), "node1"]);
}

async fn until(bed: &Bed, what: &str, mut found: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !found().await {
        let tasks = ["ps", "-a", "--format", "{{.Names}} {{.Status}}"];
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(60), "no {what}: {}", bed.docker(&tasks));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn is_healthy(bed: &Bed, service: &str) {
    let filter = format!("name={service}");
    let healthy = ["ps", "-q", "--filter", &filter, "--filter", "health=healthy"];
    until(bed, service, async || !bed.docker(&healthy).is_empty()).await;
}

/// Everything of it goes, what it kept included.
async fn remove(bed: &Bed, name: &str, volume: Option<&str>) {
    bed.docker(&["stack", "rm", name]);
    let filter = format!("name={name}_");
    let left = ["ps", "-aq", "--filter", &filter];
    until(bed, "end of it", async || bed.docker(&left).is_empty()).await;
    if let Some(volume) = volume {
        bed.docker(&["volume", "rm", volume]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consul_and_a_registry_of_images() {
    let Some(bed) = lease().await else { return };
    let node = bed.env("TESTBED_NODES").to_owned();
    consul(&bed, &node).await;
    registry(&bed, &node).await;
}

async fn consul(bed: &Bed, node: &str) {
    let (entrypoint, programs) = (r#"["/bin/consul"]"#, &["consul"][..]);
    Image { name: "consul:1.20", entrypoint, files: None, programs }.make(bed);
    label(bed, "consul");
    let ours = format!("{}/consul", bed.env("TESTBED_IMAGES"));
    deploy(bed, "consul", &[("hashicorp/consul", &ours)]);
    is_healthy(bed, "consul_consul").await;
    // A daemon on the node has all that it needs.
    let state = tempfile::tempdir().unwrap();
    let state = state.path().join("state");
    let asked = ["config", "--registry", "consul", "--proxy", "nginx", "--state"];
    let config = bed.testbed(&[&asked[..], &[state.to_str().unwrap()]].concat());
    let config = config.replace(bed.env("CONSUL_HTTP_ADDR"), &format!("http://{node}:8500"));
    let file = run::directory().join("with-consul.toml");
    std::fs::write(&file, config).unwrap();
    let mut doctor = Command::new(BINARY);
    let doctor = doctor.args(["doctor", "--output", "json", "--config"]).arg(&file);
    let output = doctor.output().unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let of_it: Vec<_> = findings.iter().filter(|it| it["subject"] == "registry").collect();
    assert!(of_it.iter().any(|it| it["severity"] == "good"), "{findings:?}");
    assert!(of_it.iter().all(|it| it["severity"] != "bad"), "{findings:?}");
    remove(bed, "consul", Some("consul_data")).await;
}

/// What the usual image brings along.
const REGISTRY: &str = "version: 0.1\nstorage: { filesystem: { rootdirectory: /var/lib/registry } }\n\
    http: { addr: ':5000' }\n";

async fn registry(bed: &Bed, node: &str) {
    let files = tempfile::tempdir().unwrap();
    let usual = files.path().join("etc/docker/registry");
    std::fs::create_dir_all(&usual).unwrap();
    std::fs::write(usual.join("config.yml"), REGISTRY).unwrap();
    let entrypoint = r#"["/bin/registry", "serve", "/etc/docker/registry/config.yml"]"#;
    let (files, programs) = (Some(files.path()), &["docker-registry=registry"][..]);
    Image { name: "registry:2", entrypoint, files, programs }.make(bed);
    label(bed, "registry");
    let ours = format!("image: {}/registry:", bed.env("TESTBED_IMAGES"));
    deploy(bed, "registry", &[("image: registry:", &ours)]);
    is_healthy(bed, "registry_registry").await;
    let mut images = run::building(run::root().join("scripts/images"));
    images.args(["variant", "books-ms:9.0"]).env("TESTBED_IMAGES", format!("{node}:5000"));
    let output = images.output().unwrap();
    let pushed = String::from_utf8_lossy(&output.stdout);
    assert!(pushed.starts_with(&format!("{node}:5000/books-ms@sha256:")), "{}", said(&output));
    let (_, digest) = pushed.trim().split_once('@').unwrap();
    let manifest = format!("http://{node}:5000/v2/books-ms/manifests/{digest}");
    let deleted = curl::client(None).delete(manifest).send().await.unwrap();
    assert_eq!(deleted.status(), 202, "what is not needed any more can be removed");
    remove(bed, "registry", Some("registry_images")).await;
}

/// `docker build`, as the head of a Dockerfile in `compose/` says; `context` holds the binaries.
fn build(bed: &Bed, file: &str, arguments: &[&str], context: &Path) {
    let file = run::root().join("compose").join(file);
    let file = ["build", "--file", file.to_str().unwrap()];
    bed.docker(&[&file[..], arguments, &[context.to_str().unwrap()]].concat());
}

/// The image of the daemon and HAProxy. What it begins with is not Debian's image, but has what would be
/// installed: HAProxy with its user, the libraries of both, and an authority that the system trusts, here
/// that of the testbed.
fn verdigris_image(bed: &Bed) {
    let files = tempfile::tempdir().unwrap();
    let etc = files.path().join("etc");
    std::fs::create_dir_all(etc.join("ssl/certs")).unwrap();
    for name in ["passwd", "group"] {
        std::fs::copy(Path::new("/etc").join(name), etc.join(name)).unwrap();
    }
    std::fs::copy(bed.env("TESTBED_CA"), etc.join("ssl/certs/ca-certificates.crt")).unwrap();
    let installer = files.path().join("bin/apt-get");
    std::fs::create_dir(files.path().join("bin")).unwrap();
    std::fs::write(&installer, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&installer, std::fs::Permissions::from_mode(0o755)).unwrap();
    let libraries = format!("{BINARY}=libraries");
    let (entrypoint, programs) = ("[]", &[&libraries, "haproxy"][..]);
    Image { name: "debian:bookworm-slim", entrypoint, files: Some(files.path()), programs }
        .make(bed);
    bed.docker(&["tag", &bed.image("debian:bookworm-slim"), "debian:bookworm-slim"]);
    let context = tempfile::tempdir().unwrap();
    std::fs::copy(BINARY, context.path().join("verdigris")).unwrap();
    let tag = bed.image("verdigris:latest");
    build(bed, "verdigris/Dockerfile", &["--tag", &tag], context.path());
}

/// The sample, built by its Dockerfile: it serves, and its tests know what they are for.
#[tokio::test(flavor = "multi_thread")]
async fn the_sample_s_dockerfile() {
    let Some(bed) = lease().await else { return };
    let context = tempfile::tempdir().unwrap();
    let built = run::root().join("target-static");
    let targets = ["books-ms", "books-ms-tests"];
    for target in targets {
        std::fs::copy(built.join(target), context.path().join(target)).unwrap();
    }
    for target in targets {
        let arguments = ["--target", target, "--tag", &format!("{target}:dockerfile")];
        build(&bed, "books-ms/Dockerfile", &arguments, context.path());
    }
    bed.docker(&["run", "--detach", "--name", "sample", "books-ms:dockerfile"]);
    let mut docker = Command::new("docker");
    docker.args(["-H", bed.env("DOCKER_HOST"), "exec", "sample", "/books-ms", "health"]);
    until(&bed, "answer of the sample", async || docker.output().unwrap().status.success()).await;
    bed.docker(&["rm", "--force", "sample"]);
    let tests = ["run", "--rm", "--env", "TEST_TYPE=pre-deployment", "books-ms-tests:dockerfile"];
    let words = bed.docker(&tests);
    assert!(words.contains("pre-deployment"), "{words}");
}

/// The daemon and HAProxy as Swarm services on one node; the sample is deployed by them, and answers.
#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_and_its_proxy() {
    let Some(bed) = lease().await else { return };
    verdigris_image(&bed);
    // /srv of this machine and the socket of its own engine are not for a test.
    let place = bed.directory().join("srv");
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(place.join("state")).unwrap();
    std::fs::create_dir_all(place.join("proxy/certs")).unwrap();
    let certificate = bed.directory().join("certs/testbed.pem");
    std::fs::copy(certificate, place.join("proxy/certs/testbed.pem")).unwrap();
    label(&bed, "edge");
    let engine = format!("- {}:", bed.docker_socket().display());
    let node = format!("{}:", bed.env("TESTBED_NODES"));
    let changes = [
        ("/srv/verdigris", place.to_str().unwrap()),
        ("- /var/run/docker.sock:", &engine),
        ("192.0.2.1:", &node),
    ];
    deploy(&bed, "verdigris", &changes);
    deploy(&bed, "proxy", &changes);

    let socket = format!("unix:{}", place.join("verdigris.sock").display());
    let verdigris = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("VERDIGRIS_DAEMON", &socket).current_dir(run::root());
        let output = command.env("REGISTRY", bed.env("TESTBED_IMAGES")).output().unwrap();
        (output.status.success(), said(&output))
    };
    let well = async || verdigris(&["doctor"]).0;
    until(&bed, "daemon with a proxy", well).await;
    let file = "compose/books-ms/stack.yml";
    for (edition, colour) in [("1.0", "blue"), ("2.0", "green")] {
        let tag = format!("TAG={edition}");
        let (committed, words) = verdigris(&["deploy", "books-ms", "-f", file, "--var", &tag]);
        assert!(committed, "{words}");
        answers(&bed, edition, colour).await;
    }
    remove(&bed, "proxy", None).await;
    remove(&bed, "verdigris", None).await;
}

async fn answers(bed: &Bed, edition: &str, colour: &str) {
    let ca = std::fs::read(bed.env("TESTBED_CA")).unwrap();
    let node = bed.env("TESTBED_NODES").parse().unwrap();
    for (scheme, port) in [("http", 80), ("https", 443)] {
        let address = std::net::SocketAddr::new(node, port);
        let public = curl::public(&ca, "books.example.com", address);
        let url = format!("{scheme}://books.example.com/api/v1/books/version");
        let answer: Value = curl::json(&public, &url).await;
        assert_eq!((&answer["edition"], &answer["colour"]), (&edition.into(), &colour.into()));
    }
}
