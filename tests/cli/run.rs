//! Runs the program as a script does: no terminal, a clean environment.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};

use crate::support::daemon::Daemon;

/// No command of these tests takes nearly as long.
const LONG: Duration = Duration::from_secs(60);

/// What a command left.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// The program, with nothing but what is needed in its environment.
pub fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_verdigris"));
    command
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("USER", "jane")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// The program, asking `daemon`.
pub fn asking(daemon: &Daemon, arguments: &[&str]) -> Command {
    let mut command = program(daemon.directory.path());
    command.env("VERDIGRIS_DAEMON", daemon.address()).args(arguments);
    command
}

/// Run to the end.
pub async fn run(daemon: &Daemon, arguments: &[&str]) -> Ran {
    finish(asking(daemon, arguments).spawn().unwrap()).await
}

/// Wait for the end.
pub async fn finish(child: Child) -> Ran {
    let output = tokio::time::timeout(LONG, child.wait_with_output()).await;
    Ran::from(output.expect("the command did not end").unwrap())
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// It ended with `code`; the whole output is shown when not.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self.without_control_characters()
    }

    #[track_caller]
    fn without_control_characters(self) -> Self {
        for text in [&self.out, &self.err] {
            let found = text.chars().find(|c| c.is_control() && *c != '\n');
            assert_eq!(found, None, "{text:?}");
        }
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// A stack file that `deploy` takes.
pub const STACK: &str = "\
services:
  books-ms:
    image: 127.0.0.1:5000/books-ms:${TAG:-1.0}
    deploy: { replicas: 2 }
    x-verdigris:
      port: 8080
      route: { hosts: [books.example.com], path: / }
      deadline: 15m
";
