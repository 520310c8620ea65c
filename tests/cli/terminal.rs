//! On a terminal: progress and colour. `script` of util-linux lends one.

use std::process::Stdio;

use tokio::process::Command;
use verdigris::model::{FailureKind, Step};

use crate::run::{Ran, finish};
use crate::support::daemon::Daemon;
use crate::support::samples::{self, failure};

/// Run in a terminal of 100 columns; none where there is no `script`.
async fn in_terminal(daemon: &Daemon, arguments: &str, more: &[(&str, &str)]) -> Option<Ran> {
    in_columns(100, daemon, arguments, more).await
}

async fn in_columns(
    columns: u16,
    daemon: &Daemon,
    arguments: &str,
    more: &[(&str, &str)],
) -> Option<Ran> {
    let program = env!("CARGO_BIN_EXE_verdigris");
    let line = format!("stty cols {columns}; exec {program} {arguments}");
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm-256color")
        .env("VERDIGRIS_DAEMON", daemon.address())
        .envs(more.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let Ok(child) = command.spawn() else {
        eprintln!("not tested: `script` is not installed");
        return None;
    };
    Some(finish(child).await)
}

#[tokio::test]
async fn steps_stay_and_progress_moves() {
    let daemon = Daemon::start().await;
    daemon.fake.state().script = samples::success();
    let Some(ran) = in_terminal(&daemon, "rollback books-ms", &[]).await else { return };
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("\u{1b}[32m✓\u{1b}[0m \u{1b}[1mswitch"), "{:?}", ran.out);
    assert!(ran.out.contains("\u{1b}[32mcommitted\u{1b}[0m"), "{:?}", ran.out);
    assert!(!ran.out.contains("still waiting"), "{:?}", ran.out);
}

/// What moves is drawn on standard error; where that goes elsewhere, plain lines tell what happens.
#[tokio::test]
async fn progress_is_told_where_only_the_output_is_a_terminal() {
    let daemon = Daemon::start().await;
    daemon.fake.state().script = samples::success();
    let Some(ran) = in_terminal(&daemon, "rollback books-ms 2>/dev/null", &[]).await else {
        return;
    };
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("switch") && ran.out.contains("committed"), "{:?}", ran.out);
}

#[tokio::test]
async fn no_color_is_honoured() {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    let cause = failure(Step::Await, FailureKind::Start, "exited with code 3");
    daemon.fake.state().script = samples::reverted(&cause);
    for arguments in ["rollback books-ms", "status", "show books-ms", "instances books-ms"] {
        let no_color = [("NO_COLOR", "1")];
        let Some(ran) = in_terminal(&daemon, arguments, &no_color).await else { return };
        // Moving the cursor is no colour; `m` ends what sets one.
        let colours = ran.out.split("\u{1b}[").skip(1).filter(|part| {
            part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
        });
        assert_eq!(colours.count(), 0, "{arguments}: {:?}", ran.out);
        let Some(coloured) = in_terminal(&daemon, arguments, &[]).await else { return };
        assert!(coloured.out.contains("\u{1b}[3"), "{arguments}: {:?}", coloured.out);
    }
}

#[tokio::test]
async fn a_dumb_terminal_gets_plain_lines() {
    let daemon = Daemon::start().await;
    daemon.fake.state().script = samples::success();
    let Some(ran) = in_terminal(&daemon, "rollback books-ms", &[("TERM", "dumb")]).await else {
        return;
    };
    assert!(!ran.out.contains('\u{1b}'), "{:?}", ran.out);
    assert!(ran.out.contains(" switch           done"), "{:?}", ran.out);
}

#[tokio::test]
async fn a_terminal_of_no_columns_is_as_wide_as_it_takes() {
    let daemon = Daemon::start().await;
    daemon.fake.state().status = samples::status();
    let no_color = [("NO_COLOR", "1")];
    let Some(ran) = in_columns(0, &daemon, "status", &no_color).await else { return };
    let header = "SERVICE   LIVE  RELEASE";
    assert!(ran.out.starts_with(header), "{:?}", ran.out);
    let Some(narrow) = in_columns(40, &daemon, "status", &no_color).await else { return };
    assert!(
        narrow.out.lines().all(|line| line.trim_end().chars().count() <= 40),
        "{:?}",
        narrow.out
    );
}
