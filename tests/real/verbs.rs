//! Every verb of the command line against a real daemon, by its socket and by TCP with a token.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::commands::{said, written};
use crate::support::daemon::BINARY;
use crate::support::{Picture, Proxy, Registry, Stack, World, curl, run};

/// A way to the daemon.
struct Door {
    address: String,
    token: Option<PathBuf>,
    home: PathBuf,
}

impl Door {
    fn verdigris(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("VERDIGRIS_DAEMON", &self.address).current_dir(&self.home);
        if let Some(file) = &self.token {
            command.env("VERDIGRIS_TOKEN_FILE", file);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Exit code, and all that was said.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.verdigris(arguments).output().unwrap();
        (output.status.code().unwrap_or(-1), said(&output))
    }

    /// What it prints; it must end with `code`.
    #[track_caller]
    fn prints(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.verdigris(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.prints(0, &[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Deploys without waiting, and waits until a person is asked; the deployment's id.
    fn begin(&self, more: &[&str]) -> String {
        let id = self.prints(0, &[&["deploy", "--detach"], more].concat()).trim().to_owned();
        let begun = Instant::now();
        while self.json(&["show", &id])["phase"] != "waiting" {
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", self.json(&["show", &id]));
            std::thread::sleep(Duration::from_millis(50));
        }
        id
    }

    /// It goes on in the background, into a file of its own.
    fn spawn(&self, file: &str, arguments: &[&str]) -> Child {
        let file = File::create(self.home.join(file)).unwrap();
        let child = self.verdigris(arguments).stdout(file).spawn().unwrap();
        run::adopt(child.id());
        child
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.join(name)).unwrap()
    }
}

/// A daemon that listens on TCP, too, with its two doors.
async fn with_two_doors() -> Option<(World, [Door; 2])> {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let token = "0123456789abcdef0123456789abcdef";
    let hash = hex::encode(Sha256::digest(token));
    let change = |config: String| {
        let tcp = format!("verdigris.sock\", \"tcp:{free}\"]\n");
        let scopes = "scopes = [\"read\", \"deploy\", \"operate\"]\n";
        let token = format!("\n[[token]]\nname = \"tester\"\nhash = \"{hash}\"\n{scopes}");
        config.replace("verdigris.sock\"]\n", &tcp) + &token
    };
    let world = World::with(Registry::Embedded, Proxy::Both, change).await?;
    let file = world.home.join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let home = world.home.clone();
    let unix = format!("unix:{}", world.daemon.socket.display());
    let doors = [
        Door { address: unix, token: None, home: home.clone() },
        Door { address: format!("http://{free}"), token: Some(file), home },
    ];
    Some((world, doors))
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_socket_and_by_tcp() {
    let Some((world, doors)) = with_two_doors().await else { return };
    for (number, door) in doors.iter().enumerate() {
        looks_before(&world, door).await;
        let sequence = (number + 1) * 10;
        follows_and_approves(&world, door, ["1.0", "2.0"][number], sequence);
        let before = world.settled().await;
        written(&world, &asking_a_person(&world, "3.0"));
        rejects_and_aborts(&world, door, &before).await;
        let (code, words) = door.run(&["deploy", "--sequence", &(sequence - 1).to_string()]);
        assert!(code == 31 && words.contains(&sequence.to_string()), "{words}");
        runs_out_of_time(&world, door, &before).await;
        vanishes(&world, door, &before).await;
        looks_around(door);
    }
}

fn asking_a_person(world: &World, edition: &str) -> Stack {
    world.books(edition).asking("approve", true).asking("drain", "1s")
}

/// What only looks changes nothing.
async fn looks_before(world: &World, door: &Door) {
    written(world, &asking_a_person(world, "3.0"));
    let before = world.settled().await;
    assert!(door.prints(0, &["check", "stack.yml"]).contains("good: stack.yml: books-ms"));
    let plan = door.json(&["plan"]);
    assert_eq!((&plan["service"], &plan["unchanged"]), (&json!("books-ms"), &json!(false)));
    assert_eq!(plan["problems"], json!([]));
    let words = door.prints(0, &["plan", "books-ms", "--image", &world.bed.image("books-ms:2.0")]);
    assert!(words.contains("switch") && words.contains("@sha256:"), "{words}");
    assert!(world.settled().await.compare(&before).is_empty());
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(door.prints(0, &["completions", shell]).contains("rollback"), "{shell}");
    }
}

/// Begun without waiting, followed by two others, approved by a third.
fn follows_and_approves(world: &World, door: &Door, edition: &str, sequence: usize) {
    written(world, &asking_a_person(world, edition));
    let mut watching = door.spawn("watched", &["watch", "books-ms"]);
    let id = door.begin(&["--sequence", &sequence.to_string(), "--deadline", "10m"]);
    let mut following = door.spawn("followed", &["logs", &id, "--follow"]);
    let (code, words) = door.run(&["deploy", "--image", &world.bed.image("books-ms:3.0")]);
    assert!(code == 30 && words.contains(&id[..8]), "{words}");
    door.prints(0, &["approve", "books-ms", "--by", "jane"]);
    assert_eq!(following.wait().unwrap().code(), Some(0), "{}", door.file("followed"));
    let view = door.json(&["show", "books-ms"]);
    assert_eq!((&view["id"], &view["sequence"]), (&json!(id), &json!(sequence)));
    assert_eq!(view["outcome"]["end"], "committed", "{view}");
    let begun = Instant::now();
    while !door.file("watched").contains("committed") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", door.file("watched"));
        std::thread::sleep(Duration::from_millis(20));
    }
    watching.kill().unwrap();
    watching.wait().unwrap();
    for told in [door.file("watched"), door.file("followed"), door.prints(0, &["logs", &id])] {
        for words in ["jane", "/health", "committed"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains('\u{1b}'), "{told}");
    }
}

async fn rejects_and_aborts(world: &World, door: &Door, before: &Picture) {
    for (verb, more, words) in
        [("reject", &[][..], "rejected by john"), ("abort", &["--why", "not today"], "not today")]
    {
        let id = door.begin(&[]);
        door.prints(0, &[&[verb, &id, "--by", "john"], more].concat());
        let ended = door.spawn("ended", &["logs", &id, "--follow"]).wait().unwrap();
        assert!(ended.code().is_some(), "{}", door.file("ended"));
        let told = door.prints(0, &["show", &id]);
        assert!(told.contains(words) && told.contains("reverted"), "{told}");
        world.settles_as(before).await.unwrap_or_else(|difference| panic!("{verb}: {difference}"));
    }
}

/// The client's deadline, shorter than the stack file's; the report is written all the same.
async fn runs_out_of_time(world: &World, door: &Door, before: &Picture) {
    let tests = world.bed.image("books-ms-tests:1.0");
    let hanging = json!({ "container": { "image": tests, "env": { "TESTS_MODE": "hang" } } });
    written(world, &world.books("3.0").gate("pre_deployment", &[hanging]));
    let (code, words) = door.run(&["deploy", "--deadline", "3s", "--junit", "late.xml"]);
    assert_eq!(code, 40, "{words}");
    assert!(words.contains("deadline") && words.contains("reverted"), "{words}");
    assert!(door.file("late.xml").contains("<failure"), "{}", door.file("late.xml"));
    world.settles_as(before).await.unwrap_or_else(|difference| panic!("{difference}"));
}

/// `kill -9` of a client that asked for a revert in that case.
async fn vanishes(world: &World, door: &Door, before: &Picture) {
    written(world, &asking_a_person(world, "3.0"));
    let mut client = door.spawn("vanished", &["deploy", "--on-disconnect", "revert"]);
    let begun = Instant::now();
    let waiting = || door.json(&["status"])["services"][0]["deployment"]["phase"] == "waiting";
    while !waiting() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", door.file("vanished"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.kill().unwrap();
    client.wait().unwrap();
    world.settles_within(before, Duration::from_secs(40)).await;
    let view = door.json(&["show", "books-ms"]);
    assert_eq!(view["outcome"]["end"], "reverted", "{view}");
}

fn looks_around(door: &Door) {
    for proxy in ["nginx", "haproxy"] {
        let name = format!("edge-{proxy}");
        let rendered = door.prints(0, &["render", &name]);
        assert!(
            rendered.contains("books.example.com") || rendered.contains("books-ms"),
            "{rendered}"
        );
        assert!(!door.prints(0, &["render", &name, "--diff"]).contains("\n+"), "{name}");
    }
    let live = door.prints(0, &["colour", "books-ms"]);
    assert_eq!(live, door.prints(0, &["color", "books-ms"]));
    assert!(["blue\n", "green\n"].contains(&live.as_str()), "{live}");
    let instances = door.json(&["instances", "books-ms"]);
    assert_eq!(instances.as_array().map(Vec::len), Some(2), "{instances}");
    assert!(door.json(&["history", "books-ms"]).as_array().unwrap().len() >= 4);
    let status = door.prints(0, &["status", "books-ms"]);
    assert!(status.contains(live.trim()), "{status}");
    assert!(door.prints(0, &["doctor"]).contains("engine"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_by_itself_and_who_may_not_use_it() {
    let Some((world, [unix, tcp])) = with_two_doors().await else { return };
    world.deploy(&world.books("1.0")).await.committed();
    let before = world.settled().await;
    let (socket, plain) = (curl::client(Some(&world.daemon.socket)), curl::client(None));
    for (http, base) in [(&socket, "http://verdigris"), (&plain, tcp.address.as_str())] {
        for path in ["/healthz", "/readyz"] {
            let answer = http.get(format!("{base}{path}")).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
        }
        let described = curl::json(http, &format!("{base}/v1/openapi.json")).await;
        let paths = described["paths"].as_object().unwrap();
        assert!(paths.len() >= 10 && paths.contains_key("/v1/deployments"), "{paths:?}");
    }
    let metrics =
        socket.get("http://verdigris/metrics").send().await.unwrap().text().await.unwrap();
    let committed =
        |line: &&str| line.starts_with("verdigris_deployments") && line.contains("committed");
    assert!(metrics.lines().any(|line| committed(&line) && line.ends_with(" 1")), "{metrics}");
    let denied = plain.get(format!("{}/metrics", tcp.address)).send().await.unwrap();
    assert_eq!(denied.status(), 401);

    written(&world, &world.books("2.0"));
    let wrong = world.home.join("wrong");
    std::fs::write(&wrong, "fedcba9876543210").unwrap();
    for token in [Some(wrong), None] {
        let nobody = Door { address: tcp.address.clone(), token, home: tcp.home.clone() };
        for verb in
            [&["deploy"][..], &["plan"], &["rollback", "books-ms"], &["status"], &["doctor"]]
        {
            let (code, words) = nobody.run(verb);
            assert_eq!(code, 2, "{verb:?}: {words}");
            assert!(words.contains("token"), "{verb:?}: {words}");
            assert!(
                words.contains("help: ") && words.contains("--token-file"),
                "{verb:?}: {words}"
            );
        }
    }
    for wrong in [
        &["deploy", "--sequence", "first"][..],
        &["deploy", "--var", "TAG"],
        &["deploy", "--file", "absent.yml"],
        &["deploy", "--image", "NOT AN IMAGE"],
        &["deploy", "nobody"],
        &["deploi"],
        &["deploy", "--token-file", "/absent"],
    ] {
        let (code, words) = tcp.run(wrong);
        assert_eq!(code, 2, "{wrong:?}: {words}");
    }
    let (code, words) = unix.run(&["deploi"]);
    assert!(code == 2 && words.contains("deploy"), "{words}");
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
}

/// Each wrong thing is told with its place, by `check` and by `serve`, before anything is made. A template
/// that is wrong is told by `check`; it keeps no daemon from its work.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_begins_nothing() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    let before = world.settled().await;
    let good = std::fs::read_to_string(world.home.join("verdigris.toml")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (state, file) = (directory.path().join("state"), directory.path().join("verdigris.toml"));
    let good = good.replace(world.state().to_str().unwrap(), state.to_str().unwrap());
    let is_told = |text: String, verb: &[&str], words: &[&str]| {
        assert_ne!(text, good, "{words:?}");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new("timeout");
        let output = command.args(["60", BINARY]).args(verb).arg(&file).output().unwrap();
        let told = said(&output);
        assert_eq!(output.status.code(), Some(2), "{verb:?}: {told}");
        assert!(words.iter().all(|words| told.contains(words)), "{verb:?} {words:?}: {told}");
        assert!(!state.exists(), "{words:?}: something was made");
    };
    let wrong = good.replace("\"embedded\"", "\"zookeeper\"").replace("master_socket", "socket");
    for verb in [&["check"][..], &["serve", "--config"]] {
        is_told(
            wrong.clone(),
            verb,
            &["verdigris.toml:", ":8: registry.kind", "`zookeeper`", "socket"],
        );
    }
    let template = directory.path().join("nginx.conf.tera");
    std::fs::write(&template, "{% if nobody.closes.this %}").unwrap();
    let named = format!("kind = \"nginx\"\ntemplate = \"{}\"\n", template.display());
    let wrong = good.replace("kind = \"nginx\"\n", &named);
    is_told(wrong, &["check"], &["nginx.conf.tera:1:"]);
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
}
