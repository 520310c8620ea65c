//! What was entrusted to the daemon is nowhere but where the operator put it: the password of a registry
//! of images, the token for Consul, and a token for its own API.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::json;

use crate::doors::{Door, with_two_doors_on};
use crate::support::{Registry, Stack, World, curl};
use crate::testbed::Testbed;

/// The daemon tells more than anybody asks of it in earnest: of all that it is built from, too.
const EVERYTHING: &str = "trace";

/// Says all that it can know, in a time in which it is looked at.
const TELLS: &str = "env; sleep 1";

/// What must not be found, plain or in base64, and what it is called.
#[derive(Clone)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn of(world: &World, token: &str) -> Self {
        let consul = world.bed.env("TESTBED_SECURE_CONSUL_TOKEN_FILE");
        let consul = std::fs::read_to_string(consul).unwrap();
        Self::new(&[
            ("the password of the images", world.bed.env("TESTBED_PRIVATE_PASSWORD")),
            ("the token for Consul", consul.trim()),
            ("the token for the API", token),
        ])
    }

    fn new(secrets: &[(&'static str, &str)]) -> Self {
        let forms = |(name, secret): &(&'static str, &str)| {
            assert!(secret.len() >= 16, "{name} is short: it may be found by chance");
            let (name, plain) = (*name, std::iter::once((*secret).to_owned()));
            plain.chain(encoded(secret)).map(move |form| (name, form))
        };
        Self(secrets.iter().flat_map(forms).collect())
    }

    /// Which of them `bytes` tell.
    fn told(&self, bytes: &[u8]) -> Option<&'static str> {
        let text = String::from_utf8_lossy(bytes);
        self.0.iter().find(|(_, secret)| text.contains(secret)).map(|(name, _)| *name)
    }

    #[track_caller]
    fn kept(&self, place: &str, bytes: &[u8]) {
        assert_eq!(self.told(bytes), None, "told in {place}");
    }

    /// No file in `directory` tells one; how many there are.
    fn kept_in(&self, directory: &Path) -> usize {
        let mut files = 0;
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                files += self.kept_in(&path);
            } else if kind.is_file() {
                self.kept(&path.display().to_string(), &std::fs::read(&path).unwrap());
                files += 1;
            }
        }
        files
    }
}

/// What base64 makes of `secret` within something longer, wherever in it that begins.
fn encoded(secret: &str) -> [String; 3] {
    [0, 1, 2].map(|before| {
        let within = [&b"___"[..before], secret.as_bytes()].concat();
        // Characters that are made of nothing else.
        let (first, end) = ((before * 8).div_ceil(6), within.len() * 8 / 6);
        STANDARD_NO_PAD.encode(&within)[first..end].to_owned()
    })
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks over and over, beside all else.
struct Watch<T> {
    stop: Arc<AtomicBool>,
    looking: JoinHandle<T>,
}

impl<T: Default + Send + 'static> Watch<T> {
    /// Each `look` adds what it finds.
    fn begin(look: impl Fn(&mut T) + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let looking = std::thread::spawn(move || {
            let mut found = T::default();
            loop {
                // After the end was asked for there is one more look: what is there then is seen.
                let last = stopped.load(Ordering::SeqCst);
                look(&mut found);
                if last {
                    return found;
                }
                std::thread::sleep(PAUSE);
            }
        });
        Self { stop, looking }
    }

    /// What was found.
    fn end(self) -> T {
        self.stop.store(true, Ordering::SeqCst);
        self.looking.join().unwrap()
    }
}

/// The argument lists of all processes: those that tell a secret.
fn watch_arguments(secrets: &Secrets) -> Watch<BTreeSet<String>> {
    let secrets = secrets.clone();
    Watch::begin(move |told: &mut BTreeSet<String>| {
        told.extend(argument_lists().filter(|list| secrets.told(list.as_bytes()).is_some()));
    })
}

/// Test containers that were seen, and which secrets they were told.
#[derive(Default)]
struct Given {
    seen: BTreeSet<String>,
    told: BTreeSet<String>,
}

fn watch_test_containers(world: &World, secrets: &Secrets) -> Watch<Given> {
    let (secrets, host) = (secrets.clone(), world.bed.env("DOCKER_HOST").to_owned());
    Watch::begin(move |given: &mut Given| {
        for (id, text) in test_containers(&host) {
            given.told.extend(secrets.told(text.as_bytes()).map(|name| format!("{id}: {name}")));
            given.seen.insert(id);
        }
    })
}

fn argument_lists() -> impl Iterator<Item = String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let lists = processes.filter_map(|process| std::fs::read(process.join("cmdline")).ok());
    lists.map(|list| String::from_utf8_lossy(&list).replace('\0', " "))
}

/// What the engine knows of each.
fn test_containers(host: &str) -> Vec<(String, String)> {
    let docker = |arguments: &[&str]| {
        let mut command = Command::new("docker");
        let output = command.args(["-H", host]).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let listed = docker(&["ps", "-aq", "--filter", "label=verdigris.gate"]);
    let told = |id: &str| (id.to_owned(), docker(&["inspect", id]));
    listed.lines().map(told).collect()
}

/// A release of the private registry, with gates that tell all that they are given.
fn stack(world: &World, edition: &str) -> Stack {
    let busybox = Testbed::on(&world.bed).busybox().to_string();
    let shell = ["/bin/busybox", "sh", "-c"];
    let gates = [
        json!({ "container": { "image": busybox, "entrypoint": shell, "command": [TELLS] } }),
        json!({ "command": ["sh", "-c", TELLS] }),
    ];
    let registry = world.bed.env("TESTBED_PRIVATE_IMAGES");
    Stack::new("books-ms", &format!("{registry}/books-ms:1.0"))
        .set("EDITION", edition)
        .gate("pre_deployment", &gates)
        .gate("pre_integration", &gates)
}

/// Everything that the API answers, asked by the socket.
async fn answers(world: &World, id: &str) -> Vec<(String, Vec<u8>)> {
    let http = curl::client(Some(&world.daemon.socket));
    let mut answers = Vec::new();
    let deployment = format!("deployments/{id}");
    for path in [
        "status",
        "deployments",
        &deployment,
        &format!("{deployment}/log"),
        &format!("{deployment}/events"),
        "doctor",
        "services/books-ms/instances",
        "services/books-ms/releases",
        "proxies/edge-nginx/render",
        "proxies/edge-haproxy/render",
    ] {
        let answer = http.get(format!("http://verdigris/v1/{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answers.push((path.to_owned(), answer.bytes().await.unwrap().to_vec()));
    }
    let metrics = http.get("http://verdigris/metrics").send().await.unwrap();
    answers.push(("metrics".to_owned(), metrics.bytes().await.unwrap().to_vec()));
    answers
}

/// Deploys by the door; the deployment's id, once all that was said is looked through.
fn deploys(world: &World, door: &Door, stack: &Stack, exit: i32, secrets: &Secrets) -> String {
    crate::commands::written(world, stack);
    let (code, words) = door.run(&["deploy", "--junit", "report.xml"]);
    assert_eq!(code, exit, "{words}");
    secrets.kept("what `deploy` says", words.as_bytes());
    assert!(words.contains("TEST_TYPE"), "the gates tell what they are given: {words}");
    for verb in [&["status"][..], &["history"], &["show", "books-ms"], &["logs", "books-ms"]] {
        secrets.kept(verb[0], door.run(verb).1.as_bytes());
    }
    door.json(&["show", "books-ms"])["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_entrusted_is_nowhere_but_where_it_was_put() {
    let Some((mut world, [_, door])) = with_two_doors_on(Registry::SecureConsul).await else {
        return;
    };
    let login = tempfile::tempdir().unwrap();
    world.write_login(login.path());
    let token = std::fs::read_to_string(door.token.as_ref().unwrap()).unwrap();
    let secrets = Secrets::of(&world, token.trim());
    let there = login.path().to_str().unwrap();
    world.restart(&[("DOCKER_CONFIG", there), ("RUST_LOG", EVERYTHING)]).await;

    let (arguments, containers) =
        (watch_arguments(&secrets), watch_test_containers(&world, &secrets));
    let commits = stack(&world, "1");
    let fails = stack(&world, "2").fault("right-only-direct");
    for (stack, exit) in [(commits, 0), (fails, 12)] {
        let id = deploys(&world, &door, &stack, exit, &secrets);
        for (path, answer) in answers(&world, &id).await {
            secrets.kept(&path, &answer);
        }
    }
    assert_eq!(arguments.end(), BTreeSet::new(), "told in an argument list");
    let given = containers.end();
    assert_eq!(given.told, BTreeSet::new(), "told to a test container");
    assert_eq!(given.seen.len(), 4, "test containers were seen");

    // The daemon has ended, so that all that it wrote is in its files.
    assert!(world.daemon.stop().await.success());
    let files = secrets.kept_in(&world.state());
    assert!(files > 2, "{files} files in the state directory");
    let log = std::fs::read(world.home.join("log")).unwrap();
    assert!(String::from_utf8_lossy(&log).contains(" TRACE "), "it told {} bytes", log.len());
    secrets.kept("the daemon's log", &log);
    for proxy in ["nginx", "haproxy"] {
        secrets.kept_in(&world.bed.directory().join(proxy));
    }
    secrets.kept("Swarm", world.bed.docker(&["service", "inspect", "books-ms-blue"]).as_bytes());
    secrets.kept("JUnit", &std::fs::read(world.home.join("report.xml")).unwrap());
    // What nobody has is not found; these would have been.
    let written = std::fs::read(login.path().join("config.json")).unwrap();
    assert_eq!(secrets.told(&written), Some("the password of the images"));
    assert_eq!(secrets.told(token.as_bytes()), Some("the token for the API"));
}

/// A process with these arguments, for as long as `during` takes.
fn beside_a_process_with<T>(arguments: &[&str], during: impl FnOnce() -> T) -> T {
    let mut sh = Command::new("sh");
    let mut process =
        sh.args(["-c", "read -r line"]).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let done = during();
    // Its input ends, and so does it.
    drop(process.stdin.take());
    process.wait().unwrap();
    done
}

/// The watch of the test above is worth something. Needs nothing of the testbed.
#[test]
fn a_secret_in_an_argument_list_would_be_found() {
    let marker = format!("passed-by-mistake-{}", std::process::id());
    let secrets = Secrets::new(&[("the marker", &marker)]);
    let header = STANDARD_NO_PAD.encode(format!("someone:{marker}"));
    for argument in [format!("--password={marker}"), header] {
        let watch = watch_arguments(&secrets);
        let told = beside_a_process_with(&["sh", &argument], || watch.end());
        assert!(told.iter().any(|list| list.ends_with(&format!("sh {argument} "))), "{told:?}");
    }
    let watch = watch_arguments(&secrets);
    let told = beside_a_process_with(&["sh", "--password-file=/run/secrets/it"], || watch.end());
    assert_eq!(told, BTreeSet::new());
}
