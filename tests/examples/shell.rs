//! Runs command lines as they stand in the documentation, by a shell, in a world where all that they
//! name is there: a daemon (the fake one), files, variables, other programs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use verdigris::deploy::control::{Finding, Rendered, Severity};
use verdigris::model::{DeploymentId, Happening, Outcome, Step};

use crate::readme;
use crate::support::daemon::Daemon;
use crate::support::samples::{self, done};
use crate::{project, text};

/// No command takes nearly as long.
const LONG: Duration = Duration::from_secs(60);

/// The id that examples begin.
const ID: &str = "019aa3b2c4d5700080000000000000aa";

/// Directories of the system that examples name; they lead into the test's own.
const SYSTEM: [&str; 4] = ["/etc/", "/run/", "/var/", "~/"];

/// What a command left.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The commands of a block of shell: lines that end with a backslash go on.
pub fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The verb of `line`, which is one of Verdigris's commands.
pub fn verb(line: &str) -> Option<&str> {
    let words = line.split_whitespace().skip_while(|word| word.contains('='));
    let mut words = words.skip_while(|word| *word != "verdigris").skip(1);
    let verb = words.next()?;
    // `verdigris --daemon ADDRESS VERB`
    if verb == "--daemon" { words.nth(1) } else { Some(verb) }
}

/// `line` with the system's directories in `directory`, where they begin a path.
pub fn moved(line: &str, directory: &Path) -> String {
    let inside = format!("{}/system/", directory.display());
    let (mut moved, mut rest, mut previous) = (String::new(), line, ' ');
    while let Some(next) = rest.chars().next() {
        let system = SYSTEM.into_iter().find(|system| rest.starts_with(system));
        if let Some(system) = system.filter(|_| !previous.is_alphanumeric()) {
            moved.push_str(&inside);
            moved.push_str(system.trim_start_matches(['~', '/']));
            (rest, previous) = (&rest[system.len()..], '/');
        } else {
            moved.push(next);
            (rest, previous) = (&rest[next.len_utf8()..], next);
        }
    }
    moved
}

/// All that commands of the documentation may find.
pub async fn world() -> Daemon {
    let daemon = Daemon::start().await;
    let directory = daemon.directory.path();
    let put = |path: &str, text: &str| {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put("stack.yml", &readme::stack());
    let config = moved(&readme::config(), directory);
    put("verdigris.toml", &config);
    put("system/etc/verdigris/verdigris.toml", &config);
    put("system/etc/bash_completion.d/keep", "");
    put("system/.zfunc/keep", "");
    put("templates/nginx.conf.tera", &text("templates/nginx.conf.tera"));
    put("compose/books-ms/stack.yml", &text("compose/books-ms/stack.yml"));
    put("bin/docker", "#!/bin/sh\necho docker \"$@\"\n");
    let program = std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_verdigris"),
        directory.join("bin/verdigris"),
    );
    program.unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.join("bin/docker"), all).unwrap();
    play(&daemon);
    daemon
}

/// What the fake daemon knows.
fn play(daemon: &Daemon) {
    let mut state = daemon.fake.state();
    state.status = samples::status();
    state.script = samples::success();
    state.plan = Some(
        serde_json::from_value(serde_json::json!({
            "service": "books-ms", "unchanged": false, "live": "blue", "colour": "green",
            "from": "a1b2c3d4e5f6", "to": "3f9c2a71b0de", "image": "registry:5000/books-ms@sha256:00",
            "steps": [{ "step": "start", "what": "create books-ms-green" }], "problems": []
        }))
        .unwrap(),
    );
    state.findings = vec![Finding {
        subject: "engine".to_owned(),
        severity: Severity::Good,
        message: "Docker Engine 28.5".to_owned(),
        remedy: None,
    }];
    state.rendered = ["edge-nginx", "edge-haproxy"]
        .map(|proxy| Rendered {
            proxy: proxy.to_owned(),
            text: Some("events {}\n".to_owned()),
            current: Some("events {}\n".to_owned()),
            differs: false,
            problem: None,
        })
        .into();
}

/// A deployment of `books-ms`: waits for approval, or has ended well.
fn deploy(daemon: &Daemon, ended: bool) {
    let mut view = samples::view("books-ms");
    view.id = ID.parse::<DeploymentId>().unwrap();
    let id = daemon.fake.open(view);
    daemon.fake.tell(id, Some(Step::Prepare), Happening::Began);
    daemon.fake.tell(id, Some(Step::Prepare), done("green"));
    if ended {
        daemon.fake.tell(id, None, Happening::Ended { outcome: Outcome::Committed });
    } else {
        daemon.fake.tell(id, Some(Step::Approve), Happening::Began);
    }
}

fn shell(daemon: &Daemon, line: &str) -> Command {
    let directory = daemon.directory.path();
    let mut command = Command::new("bash");
    command
        .args(["-euo", "pipefail", "-c", &moved(line, directory)])
        .current_dir(directory)
        .env_clear()
        .env("PATH", format!("{}/bin:/usr/bin:/bin", directory.display()))
        .env("HOME", directory.join("system"))
        .env("USER", "jane")
        .env("VERDIGRIS_DAEMON", daemon.address())
        .env("BUILD_NUMBER", "7")
        .env("IMAGE", "registry:5000/books-ms:1.4.2")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Run a command of the documentation to its end; `serve` and `watch`, which have none, for as long as
/// it takes to see that they work.
pub async fn run(line: &str) -> (Ran, Daemon) {
    let daemon = world().await;
    let verb = verb(line);
    match verb {
        Some("abort" | "approve" | "reject" | "retry") => deploy(&daemon, false),
        Some("logs" | "show" | "history") => deploy(&daemon, true),
        _ => {}
    }
    let ran = match verb {
        Some("serve") => served(&daemon, line).await,
        Some("watch") => watched(&daemon, line).await,
        _ => {
            let output = tokio::time::timeout(LONG, shell(&daemon, line).output()).await;
            let output = output.unwrap_or_else(|_| panic!("`{line}` does not end")).unwrap();
            Ran {
                code: output.status.code(),
                out: String::from_utf8(output.stdout).unwrap(),
                err: String::from_utf8(output.stderr).unwrap(),
            }
        }
    };
    (ran, daemon)
}

/// Wait until it listens, ask it, and let it leave.
async fn served(daemon: &Daemon, line: &str) -> Ran {
    let socket = daemon.directory.path().join("system/run/verdigris/verdigris.sock");
    let mut program = shell(daemon, &line.replacen("verdigris serve", "exec verdigris serve", 1));
    let usual = daemon.directory.path().join("system/etc/verdigris/verdigris.toml");
    let program = program.env("VERDIGRIS_CONFIG", usual).spawn().unwrap();
    let listens = async {
        while !socket.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let listens = tokio::time::timeout(LONG, listens).await;
    if listens.is_ok() {
        let asked = format!("verdigris --daemon unix:{} history", socket.display());
        let asked = shell(daemon, &asked).output().await.unwrap();
        assert!(asked.status.success(), "{asked:?}");
    }
    let pid = program.id().and_then(|id| i32::try_from(id).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let output = tokio::time::timeout(LONG, program.wait_with_output()).await.unwrap().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(listens.is_ok(), "it does not listen: {err}");
    Ran { code: output.status.code(), out: String::from_utf8(output.stdout).unwrap(), err }
}

/// Wait for a line on something that happens, then end it.
async fn watched(daemon: &Daemon, line: &str) -> Ran {
    let mut program = shell(daemon, &format!("exec {line}")).spawn().unwrap();
    daemon.fake.awaits_listeners(1).await;
    deploy(daemon, true);
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(LONG, lines.next_line()).await.unwrap().unwrap();
    program.kill().await.unwrap();
    Ran { code: first.is_some().then_some(0), out: first.unwrap_or_default(), err: String::new() }
}

/// Commands of this kind cannot be run here; what they name must be there all the same.
pub fn names_what_is_there(line: &str) {
    for word in line.split_whitespace() {
        if ["compose/", "scripts/"].iter().any(|directory| word.starts_with(directory)) {
            assert!(project(word).exists(), "`{line}` names {word}");
        }
    }
}
