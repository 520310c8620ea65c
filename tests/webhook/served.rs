//! The program itself, as it is configured.

use std::process::Stdio;

use crate::receiver::{Receiver, SECRET};

const STACK: &str = "\
services:
  books-ms:
    image: 127.0.0.1:5000/books-ms:1.0
    x-verdigris: { port: 8080 }
";

#[tokio::test]
async fn a_daemon_without_an_engine_tells_of_what_it_could_not_do() {
    let receiver = Receiver::start().await;
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let url = receiver.url();
    let notify = format!("[[notify]]\nurl = \"{url}\"\nevents = [\"opened\", \"reverted\"]\n");
    write("stack.yml", STACK);
    write(
        "verdigris.toml",
        &format!(
            "[daemon]\nstate = \"state\"\nlisten = [\"unix:verdigris.sock\"]\n\
             [swarm]\nhost = \"unix:///no/such/docker.sock\"\n{notify}"
        ),
    );
    let program = |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_verdigris"));
        command.current_dir(directory.path()).env("RUST_LOG", "trace").kill_on_drop(true);
        command.env("VERDIGRIS_DAEMON", "unix:verdigris.sock").args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let daemon = program(&["serve", "--config", "verdigris.toml"]).spawn().unwrap();
    let socket = directory.path().join("verdigris.sock");
    let bound = async {
        while !socket.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), bound).await.unwrap();
    let deployed = program(&["deploy", "-f", "stack.yml"]).output().await.unwrap();
    assert_eq!(deployed.status.code(), Some(41), "{deployed:?}");
    let posts = receiver.gets(2).await;
    assert_eq!(receiver.occasions(2).await, ["opened", "reverted"]);
    let text = posts[1].body["text"].as_str().unwrap();
    assert!(text.starts_with("books-ms reverted in prepare: "), "{text}");
    let pid = daemon.id().and_then(|id| i32::try_from(id).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::TERM).unwrap();
    let left = daemon.wait_with_output().await.unwrap();
    assert!(left.status.success(), "{left:?}");
    let logged = String::from_utf8(left.stderr).unwrap();
    assert!(logged.contains("ready") && !logged.contains(SECRET), "{logged}");
}
