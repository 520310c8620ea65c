//! A command gate: run a program where the daemon runs.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::environment::variables;
use super::{Bounds, failed, junit};
use crate::deploy::ports::{GateContext, GateError, JunitFile, Output, PortError, Trouble};
use crate::lines::LineBuffer;
use crate::model::CommandCheck;

/// What a command gets of the daemon's environment. The rest may hold the daemon's own secrets.
const INHERITED: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SHELL"];

/// A command that is stopped may put its things in order for so long.
const GRACE: Duration = Duration::from_secs(1);

pub async fn run(
    check: &CommandCheck,
    context: &GateContext,
    output: Output<'_>,
    bounds: &Bounds<'_>,
) -> Result<Vec<JunitFile>, GateError> {
    let reports = Directory::make().map_err(|error| {
        PortError::new(Trouble::Other, "make a directory for JUnit files").because(error)
    })?;
    let path = reports.0.display().to_string();
    let environment = variables(context, &check.env, &path).await?;
    let status = exercise(Group::start(check, &environment)?, output, bounds).await?;
    let status = status.map_err(|error| {
        let operation = format!("wait for the command `{}`", check.argv[0]);
        PortError::new(Trouble::Other, operation).because(error)
    })?;
    let junit = junit::from_directory(&reports.0).unwrap_or_default();
    match describe(status) {
        None => Ok(junit),
        Some(reason) => Err(GateError::Failed { reason, junit }),
    }
}

/// Pass on what it prints until it ends. It is the end of the process that counts, not that of its
/// output: whoever left its group may hold the pipes for ever.
async fn exercise(
    mut group: Group,
    output: Output<'_>,
    bounds: &Bounds<'_>,
) -> Result<io::Result<ExitStatus>, GateError> {
    let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
    let reading = async { tokio::join!(pass_on(stdout, output), pass_on(stderr, output)) };
    let over = CancellationToken::new();
    let working = async {
        let ended = bounds.hold(group.child.wait()).await;
        // What it left running in its group ends with it, whichever way it ended.
        group.end(ended.is_err()).await;
        over.cancel();
        ended
    };
    let last_words = async {
        over.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let listening = async {
        tokio::select! {
            _ = reading => {}
            () = last_words => {}
        }
    };
    let (ended, ()) = tokio::join!(working, listening);
    ended
}

/// A command and whatever it starts, as a process group of its own.
struct Group {
    child: Child,
    id: Option<Pid>,
}

impl Group {
    fn start(
        check: &CommandCheck,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, GateError> {
        let Some((program, arguments)) = check.argv.split_first() else {
            return Err(failed("it names no program"));
        };
        let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(inherited)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                let operation = format!("run the command `{program}`");
                PortError::new(Trouble::Invalid, operation)
                    .because(error)
                    .remedy("it runs where the daemon runs: install it there, or write its path")
            })?;
        let id = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        Ok(Self { child, id })
    }

    /// No process of the group is left when this returns; asked politely first when it was cut off.
    async fn end(&mut self, politely: bool) {
        if politely {
            self.signal(Signal::TERM);
            let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
        // From now on the number may become somebody else's.
        self.id = None;
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // It fails when nobody is left, which is what is wanted.
            let _ = kill_process_group(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

async fn pass_on(stream: Option<impl AsyncRead + Unpin>, output: Output<'_>) {
    let Some(mut stream) = stream else { return };
    let mut lines = LineBuffer::default();
    let mut piece = vec![0; 8 << 10];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        lines.push(&piece[..length]).iter().for_each(|line| output(line));
    }
    if let Some(line) = lines.finish() {
        output(&line);
    }
}

/// Why it did not pass; none when it did.
fn describe(status: ExitStatus) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, Some(signal)) => Some(format!("ended by signal {signal}")),
        (None, None) => Some(status.to_string()),
    }
}

/// A directory for one run, removed with what is in it.
struct Directory(PathBuf);

impl Directory {
    fn make() -> io::Result<Self> {
        let name = format!("verdigris-gate-{}", uuid::Uuid::now_v7().simple());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests;
