use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::gate::fixture::context;
use crate::model::GatePoint;

#[derive(Default)]
struct Run {
    lines: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
}

impl Run {
    async fn command(&self, argv: &[&str], timeout: Duration) -> Result<Vec<JunitFile>, GateError> {
        let check = CommandCheck {
            argv: argv.iter().map(|&word| word.to_owned()).collect(),
            env: BTreeMap::from([("SUITE".to_owned(), "smoke".to_owned())]),
        };
        let lines = Arc::clone(&self.lines);
        let output = move |line: &str| lines.lock().unwrap().push(line.to_owned());
        let bounds = Bounds { timeout, stop: &self.stop };
        run(&check, &context(GatePoint::PreDeployment), &output, &bounds).await
    }

    async fn script(&self, script: &str, timeout: Duration) -> Result<Vec<JunitFile>, GateError> {
        self.command(&["sh", "-c", script], timeout).await
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }
}

const PLENTY: Duration = Duration::from_secs(30);

fn alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

async fn until_dead(pid: &str) {
    let begun = Instant::now();
    while alive(pid) {
        assert!(begun.elapsed() < Duration::from_secs(5), "process {pid} lives on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_command_that_ends_well_passes_and_is_told_everything() {
    let run = Run::default();
    let script = "echo $TEST_TYPE $TEST_SERVICE $TEST_COLOUR $TEST_HOST $TEST_PATH $SUITE";
    run.script(script, PLENTY).await.unwrap();
    assert_eq!(run.lines(), ["pre-deployment books-ms green books.example.com /api smoke"]);
}

#[tokio::test]
async fn the_daemons_own_environment_stays_with_it() {
    let run = Run::default();
    // Set by cargo for every test: stands for what a daemon has in its environment.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    run.script("echo \"<$CARGO_MANIFEST_DIR>\"; command -v sh >/dev/null", PLENTY).await.unwrap();
    assert_eq!(run.lines(), ["<>"]);
}

#[tokio::test]
async fn a_command_that_fails_hands_over_its_junit() {
    let run = Run::default();
    let script = "echo '<testsuite/>' > $JUNIT_DIR/a.xml; echo $JUNIT_DIR; exit 4";
    let error = run.script(script, PLENTY).await.unwrap_err();
    let GateError::Failed { reason, junit } = error else { panic!("{error:?}") };
    assert_eq!(reason, "exit code 4");
    assert_eq!(junit, [JunitFile { name: "a.xml".to_owned(), xml: "<testsuite/>\n".to_owned() }]);
    let directory = run.lines().remove(0);
    assert!(!std::path::Path::new(&directory).exists(), "{directory} was left behind");
}

#[tokio::test]
async fn an_endless_command_is_killed_with_all_that_it_started() {
    let run = Run::default();
    let script = "sleep 600 & echo $!; trap '' TERM; while true; do sleep 1; done";
    let begun = Instant::now();
    let error = run.script(script, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, GateError::TimedOut(_)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(4));
    until_dead(&run.lines()[0]).await;
}

#[tokio::test]
async fn a_stopped_command_may_put_its_things_in_order() {
    let run = Run::default();
    let stop = run.stop.clone();
    let lines = Arc::clone(&run.lines);
    let stopping = async move {
        while lines.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    let file = std::env::temp_dir().join(format!("verdigris-test-{}", uuid::Uuid::now_v7()));
    let script = format!(
        "trap 'touch {}; exit 0' TERM; echo up; while true; do sleep 0.05; done",
        file.display()
    );
    let (ended, ()) = tokio::join!(run.script(&script, PLENTY), stopping);
    assert!(ended.is_err());
    assert!(file.exists(), "it was not asked politely");
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_child_that_holds_the_pipes_holds_up_nothing_and_dies_too() {
    let run = Run::default();
    let begun = Instant::now();
    run.script("sleep 600 & echo $!", PLENTY).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
    until_dead(&run.lines()[0]).await;
}

#[tokio::test]
async fn a_command_that_is_not_there_was_not_run() {
    let run = Run::default();
    let error = run.command(&["no-such-program"], PLENTY).await.unwrap_err();
    let GateError::NotRun(error) = error else { panic!("{error:?}") };
    assert!(error.to_string().contains("`no-such-program`"), "{error}");
    assert!(error.remedy.is_some());
}

#[tokio::test]
async fn a_signal_is_named() {
    let error = Run::default().script("kill -SEGV $$", PLENTY).await.unwrap_err();
    assert_eq!(error.to_string(), "ended by signal 11");
}
