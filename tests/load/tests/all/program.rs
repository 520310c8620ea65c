//! The program: its report, its exit codes, and how it ends.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use verdigris_load::Report;

use crate::server::{Act, Scripted};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verdigris-load"));
    command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn output(command: &mut Command) -> Output {
    let running = command.spawn().unwrap().wait_with_output();
    tokio::time::timeout(Duration::from_secs(20), running).await.expect("it ends").unwrap()
}

#[tokio::test]
async fn reports_and_exits_0_when_nothing_was_lost() {
    let server = Scripted::start(Act::Answer).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.json");
    let target = format!("edge=http://{}", server.address);
    let output = output(
        program()
            .args(["--target", &target, "--new", "2@100", "--strict", "2", "--for", "0.5"])
            .arg("--report")
            .arg(&file),
    )
    .await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(" 0 lost"), "{output:?}");
    let report: Report = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert!(report.total.sent > 10, "{report:#?}");
    assert_eq!(report.targets["edge"], report.total);
}

#[tokio::test]
async fn exits_1_when_something_was_lost() {
    let server = Scripted::start(Act::Status(503)).await;
    let target = format!("http://{}", server.address);
    let output = output(program().args(["--target", &target, "--new", "1", "--for", "0.3"])).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("unserved"), "{output:?}");
}

#[tokio::test]
async fn exits_2_and_says_why_when_told_nonsense() {
    for (arguments, expected) in [
        (["--target", "http://127.0.0.1:9", "--path", "/"].as_slice(), "--strict"),
        (&["--target", "https://127.0.0.1:9", "--new", "1"], "--ca"),
        (&["--target", "books.example.com", "--new", "1"], "http://"),
        (&["--new", "1"], "--target"),
    ] {
        let output = output(program().args(arguments)).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[tokio::test]
async fn ends_when_standard_input_closes() {
    let server = Scripted::start(Act::Answer).await;
    let target = format!("http://{}", server.address);
    let mut child = program().args(["--target", &target, "--new", "1", "--stdin"]).spawn().unwrap();
    drop(child.stdin.take());
    let ended = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(0));
}
