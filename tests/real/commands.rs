//! The real command line against the real daemon on real parts.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::daemon::BINARY;
use crate::support::{Proxy, Registry, Stack, World};

/// The command line, asking the daemon of `world`.
pub fn verdigris(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .args(arguments)
        .env("VERDIGRIS_DAEMON", format!("unix:{}", world.daemon.socket.display()))
        .current_dir(&world.home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// It runs to its end: exit code, and all that it says.
pub fn run(world: &World, arguments: &[&str]) -> (i32, String) {
    let output = verdigris(world, arguments).output().unwrap();
    (output.status.code().unwrap(), said(&output))
}

/// All that it said.
pub fn said(output: &Output) -> String {
    let (out, errors) = (&output.stdout, &output.stderr);
    [out, errors].map(|part| String::from_utf8_lossy(part).into_owned()).join("\n--- stderr\n")
}

/// The stack file, where `deploy` looks for it.
pub fn written(world: &World, stack: &Stack) -> PathBuf {
    let path = world.home.join("stack.yml");
    std::fs::write(&path, stack.text()).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_deploys_reads_exit_codes_and_junit() {
    let Some(world) = World::new(Registry::Consul, Proxy::Both).await else { return };
    written(&world, &world.books("1.0").asking("retain", json!({})));
    let (code, words) = run(&world, &["deploy", "books-ms", "--junit", "report.xml"]);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("committed"), "{words}");
    let report = std::fs::read_to_string(world.home.join("report.xml")).unwrap();
    assert!(report.contains("pre-integration") && report.contains("testsuite"), "{report}");

    let (code, words) = run(&world, &["deploy", "-f", "stack.yml"]);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("live already") || words.contains("unchanged"), "{words}");
    assert_eq!(run(&world, &["colour", "books-ms"]).1.lines().next(), Some("blue"));

    let image = world.bed.image("books-ms:2.0");
    let (code, words) = run(&world, &["deploy", "--image", &image]);
    assert_eq!(code, 0, "{words}");
    assert_eq!(run(&world, &["colour", "books-ms"]).1.lines().next(), Some("green"));
    let (code, words) = run(&world, &["instances", "books-ms"]);
    assert_eq!(code, 0, "{words}");
    assert!(words.contains("green") && words.contains("live"), "{words}");

    let before = world.settled().await;
    written(&world, &world.books("3.0").fault("exit-at-start"));
    let (code, words) = run(&world, &["deploy", "--junit", "report.xml"]);
    assert_eq!(code, 10, "{words}");
    assert!(words.contains("cannot open the catalogue"), "{words}");
    assert!(words.contains("reverted"), "{words}");
    let report = std::fs::read_to_string(world.home.join("report.xml")).unwrap();
    assert!(report.contains("<failure"), "{report}");
    // The colour that was kept running had been replaced: its containers are new ones.
    let difference = world.settles_as_but_for_containers(&before).await;
    difference.unwrap_or_else(|difference| panic!("{difference}"));

    let (code, words) = run(&world, &["rollback", "books-ms"]);
    assert_eq!(code, 0, "{words}");
    assert_eq!(run(&world, &["colour", "books-ms"]).1.lines().next(), Some("blue"));
    for verb in [&["status"][..], &["history", "books-ms"], &["doctor"]] {
        let (code, words) = run(&world, verb);
        assert_eq!(code, 0, "{verb:?}: {words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_cancelled_leaves_at_once_and_everything_is_reverted() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Haproxy).await else { return };
    let before = world.settled().await;
    written(&world, &world.books("2.0").asking("approve", true));
    let mut child = verdigris(&world, &["deploy"]).spawn().unwrap();
    until_waiting(&world).await;
    let begun = Instant::now();
    terminate(&child);
    while child.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(6), "it is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(50), "{}", said(&output));
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
}

fn terminate(child: &Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::TERM).unwrap();
}

async fn until_waiting(world: &World) {
    let begun = Instant::now();
    loop {
        let status = world.client().status(None).await.unwrap();
        let deployments = status.services.iter().filter_map(|service| service.deployment.as_ref());
        if deployments.into_iter().any(|view| view.phase == verdigris::model::Phase::Waiting) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nothing waits:\n{}",
            world.daemon.said()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_or_with_a_wrong_file_nothing_is_touched() {
    let Some(mut world) = World::with_first(Registry::Embedded, Proxy::Haproxy).await else {
        return;
    };
    let before = world.settled().await;
    std::fs::write(world.home.join("stack.yml"), "services: { a: { image: a, x-verdigris: {} } }")
        .unwrap();
    let (code, words) = run(&world, &["deploy"]);
    assert_eq!(code, 2, "{words}");
    assert!(words.contains("stack.yml:1:") && words.contains("port"), "{words}");
    written(&world, &world.books("2.0"));
    world.daemon.kill();
    let (code, words) = run(&world, &["deploy"]);
    assert_eq!(code, 41, "{words}");
    assert!(words.contains("verdigris.sock"), "{words}");
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
}
