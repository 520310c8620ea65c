//! The daemon as a process: what it does with signals, and what is asked of one over a damaged journal.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr};
use verdigris::deploy::ports::Journal;
use verdigris::deploy::record::Record;
use verdigris::journal::{Retention, StateDir, Store};
use verdigris::model::{DeploymentId, Kind, OnBusy, OnDisconnect, Request, Step};

use crate::run::{Ran, STACK, finish, program};

/// Far longer than what is waited for takes.
const LONG: Duration = Duration::from_secs(30);

const CONFIG: &str = "\
[daemon]
state = \"state\"
listen = [\"unix:verdigris.sock\"]
[swarm]
host = \"unix:///no/such/docker.sock\"
";

/// A daemon that says that it is ready, with its log.
async fn serve(directory: &Path, config: &str) -> (Child, Lines<BufReader<ChildStderr>>) {
    std::fs::write(directory.join("verdigris.toml"), config).unwrap();
    let serve = ["serve", "--config", "verdigris.toml"];
    let mut daemon = program(directory).args(serve).spawn().unwrap();
    let mut log = BufReader::new(daemon.stderr.take().unwrap()).lines();
    logged(&mut log, "ready").await;
    (daemon, log)
}

/// The next line of the log that has `words`.
async fn logged(log: &mut Lines<BufReader<ChildStderr>>, words: &str) -> String {
    let look = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains(words) {
                return line;
            }
        }
        panic!("`{words}` was never logged");
    };
    tokio::time::timeout(LONG, look).await.expect("it is logged")
}

async fn ask(directory: &Path, arguments: &[&str]) -> Ran {
    let mut command = program(directory);
    command.env("VERDIGRIS_DAEMON", "unix:verdigris.sock").args(arguments);
    finish(command.spawn().unwrap()).await
}

async fn signal(daemon: &Child, name: &str) {
    let pid = daemon.id().unwrap().to_string();
    let sent = tokio::process::Command::new("kill").args(["-s", name, &pid]).status().await;
    assert!(sent.unwrap().success());
}

async fn left(mut daemon: Child) -> i32 {
    let left = tokio::time::timeout(LONG, daemon.wait()).await.expect("the daemon ends");
    left.unwrap().code().unwrap_or(-1)
}

/// What holds up the end here is a webhook that does not answer.
#[tokio::test]
async fn a_second_signal_ends_the_daemon_at_once() {
    for (first, second, code) in [("TERM", "INT", 130), ("INT", "TERM", 143)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::write(path.join("stack.yml"), STACK).unwrap();
        let hook = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", hook.local_addr().unwrap());
        let notify = format!("[[notify]]\nurl = \"{url}\"\nevents = [\"opened\"]\n");
        let (daemon, mut log) = serve(path, &format!("{CONFIG}{notify}")).await;
        ask(path, &["deploy", "-f", "stack.yml"]).await.expect(41);
        let (_asked, _) = tokio::time::timeout(LONG, hook.accept()).await.unwrap().unwrap();
        signal(&daemon, first).await;
        logged(&mut log, "stopping").await;
        signal(&daemon, second).await;
        logged(&mut log, "ending at once").await;
        assert_eq!(left(daemon).await, code);
    }
}

/// The same without a second one: it gives the webhook its time, and ends well.
#[tokio::test]
async fn one_signal_ends_the_daemon_well() {
    let directory = tempfile::tempdir().unwrap();
    let (daemon, mut log) = serve(directory.path(), CONFIG).await;
    signal(&daemon, "TERM").await;
    logged(&mut log, "stopping").await;
    assert_eq!(left(daemon).await, 0);
}

/// A state directory in which a deployment is under way, and the database that it is in.
async fn under_way(directory: &Path) -> (DeploymentId, std::path::PathBuf) {
    let state = StateDir::lock(&directory.join("state")).unwrap();
    let store = Store::open(&state, Retention::default()).await.unwrap();
    let request = Request {
        kind: Kind::Rollback { service: "books-ms".parse().unwrap(), release: None },
        sequence: None,
        on_busy: OnBusy::Wait,
        on_disconnect: OnDisconnect::Continue,
        deadline: None,
        force: false,
        by: "jane".to_owned(),
    };
    let id = DeploymentId::new();
    let opened = Record::Opened { request: Box::new(request) };
    store.append(id, &[opened, Record::Began { step: Step::Prepare }]).await.unwrap();
    (id, state.path().join("verdigris.db"))
}

#[tokio::test]
async fn a_deployment_whose_journal_is_damaged_is_named_by_status_and_doctor() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (id, database) = under_way(path).await;
    let hand = rusqlite::Connection::open(database).unwrap();
    hand.execute("UPDATE records SET body = '{}' WHERE seq = 1", []).unwrap();
    drop(hand);

    let (daemon, _log) = serve(path, CONFIG).await;
    let status = ask(path, &["status"]).await.expect(0);
    let doctor = ask(path, &["doctor"]).await.expect(41);
    let alone = format!("the journal of deployment {id} makes no sense and is left alone");
    let record = format!("record 1 of deployment `{id}` cannot be read");
    for told in [&alone, &record] {
        assert!(status.out.contains(told), "{told} in {}", status.out);
        let bad = doctor.out.lines().find(|line| line.contains(told.as_str()));
        assert!(bad.is_some_and(|line| line.starts_with("bad")), "{told} in {}", doctor.out);
    }
    signal(&daemon, "TERM").await;
    assert_eq!(left(daemon).await, 0);
}

#[tokio::test]
async fn a_database_that_was_damaged_is_named_by_status_and_doctor() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (_, database) = under_way(path).await;
    std::fs::write(database, [7; 5000]).unwrap();

    let (daemon, _log) = serve(path, CONFIG).await;
    let status = ask(path, &["status"]).await.expect(0);
    let doctor = ask(path, &["doctor"]).await.expect(41);
    for out in [status.out, doctor.out] {
        assert!(out.contains("the database was damaged and is now in"), "{out}");
        assert!(out.contains("verdigris.db.damaged-"), "{out}");
    }
    signal(&daemon, "TERM").await;
    assert_eq!(left(daemon).await, 0);
}

/// A Consul that is away, as the configuration names it.
async fn registry_away() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = listener.local_addr().unwrap();
    format!("[registry]\nkind = \"consul\"\naddress = \"http://{closed}\"\n")
}

#[tokio::test]
async fn the_status_is_told_while_registry_and_swarm_are_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let registry = registry_away().await;
    let (daemon, _log) = serve(path, &format!("{CONFIG}{registry}")).await;
    let status = ask(path, &["status"]).await.expect(0);
    for words in ["no service is known", "problem: cannot read the registry", "list Swarm services"]
    {
        assert_eq!(status.out.matches(words).count(), 1, "{words} in {}", status.out);
    }
    // Whether there is such a service nobody can say.
    ask(path, &["status", "books-ms"]).await.expect(41);
    for verb in ["colour", "instances"] {
        ask(path, &[verb, "books-ms"]).await.expect(41);
    }
    signal(&daemon, "TERM").await;
    assert_eq!(left(daemon).await, 0);
}

/// The state directory is lost, and what the proxies have nobody can say.
#[tokio::test]
async fn a_daemon_does_not_begin_with_proxies_of_which_nothing_is_known() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let at = |name: &str| path.join(name).display().to_string();
    let (output, flags, pid_file) = (at("nginx.conf"), at("flags"), at("nginx.pid"));
    let proxy = format!(
        "[[proxy]]\nname = \"edge\"\nkind = \"nginx\"\noutput = \"{output}\"\nflags = \"{flags}\"\n\
         pid_file = \"{pid_file}\"\nstatus = \"http://127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\n"
    );
    let registry = registry_away().await;
    let config = format!("{CONFIG}{registry}{proxy}");
    std::fs::write(path.join("verdigris.toml"), &config).unwrap();
    let rendered = "add_header X-Verdigris-Upstream $verdigris_upstream always;";
    std::fs::write(&output, rendered).unwrap();
    let serve_anew = ["serve", "--config", "verdigris.toml"];
    let refused = finish(program(path).args(serve_anew).spawn().unwrap()).await.expect(41);
    for words in ["proxy `edge`", &output, "cannot read the registry", "once the registry answers"]
    {
        assert!(refused.err.contains(words), "{words} in {}", refused.err);
    }
    assert_eq!(std::fs::read_to_string(&output).unwrap(), rendered);
    // A first start finds what somebody else wrote.
    std::fs::write(&output, "events {}\n").unwrap();
    let (daemon, _log) = serve(path, &config).await;
    signal(&daemon, "TERM").await;
    assert_eq!(left(daemon).await, 0);
}
