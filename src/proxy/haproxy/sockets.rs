//! The master socket and the runtime socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use crate::proxy::error::{Error, Result};
use crate::proxy::settings::Settings;

/// One command; a thousand services' servers are listed within 20 ms.
const LIMIT: Duration = Duration::from_secs(3);

/// How long nobody may listen, and from one try to the next.
const PATIENCE: Duration = Duration::from_millis(800);
const AGAIN: Duration = Duration::from_millis(10);

/// Longest answer: a hundred thousand servers.
const MOST_BYTES: u64 = 32 << 20;

/// Longest command line: `tune.bufsize` is 16 KiB, and what is longer is dropped without a word.
const LONGEST_LINE: usize = 12 << 10;

/// A process that serves requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its process id; none when only the runtime socket is known.
    pub pid: Option<i32>,
    /// It was replaced and finishes what it has.
    pub old: bool,
}

/// What the master process counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Master {
    /// Its process id.
    pub pid: i32,
    /// Reloads that it has begun.
    pub reloads: u64,
    /// Those of them that failed.
    pub failed: u64,
}

/// How commands get to the processes.
#[derive(Debug, Clone)]
pub(crate) struct Sockets {
    master: Option<PathBuf>,
    runtime: Option<PathBuf>,
}

impl Sockets {
    pub fn new(settings: &Settings) -> Result<Self> {
        if settings.master_socket.is_none() && settings.runtime_socket.is_none() {
            let setting = "master_socket";
            return Err(Error::NotConfigured { setting });
        }
        Ok(Self {
            master: settings.master_socket.clone(),
            runtime: settings.runtime_socket.clone(),
        })
    }

    /// Whether single processes can be told apart.
    pub fn sees_processes(&self) -> bool {
        self.master.is_some()
    }

    /// The processes, the current one first.
    pub async fn processes(&self) -> Result<Vec<Process>> {
        let Some(master) = &self.master else {
            self.runtime("show info").await?;
            return Ok(vec![Process { pid: None, old: false }]);
        };
        let listed = exchange(master, "show proc").await?;
        let processes = parse_processes(&listed);
        if processes.iter().any(|process| !process.old) {
            return Ok(processes);
        }
        Err(Error::NotRunning { why: "its master process has no worker".to_owned() })
    }

    /// What the master process counts; none when there is no master socket.
    pub async fn master(&self) -> Result<Option<Master>> {
        match &self.master {
            Some(master) => Ok(parse_master(&exchange(master, "show proc").await?)),
            None => Ok(None),
        }
    }

    /// Ask the master to read its configuration again.
    pub async fn reload(&self) -> Result<()> {
        let Some(master) = &self.master else {
            return Err(Error::NotConfigured { setting: "reload" });
        };
        exchange(master, "reload").await.map(drop)
    }

    /// Whether a process has stopped to accept connections.
    pub async fn is_leaving(&self, process: &Process) -> bool {
        self.says(process, "Stopping: 1").await
    }

    /// Whether a process says that it accepts connections.
    pub async fn is_accepting(&self, process: &Process) -> bool {
        self.says(process, "Stopping: 0").await
    }

    async fn says(&self, process: &Process, wanted: &str) -> bool {
        let info = self.ask(process, "show info").await;
        info.is_ok_and(|info| info.lines().any(|line| line.trim() == wanted))
    }

    /// The answer of `process` to `command`.
    pub async fn ask(&self, process: &Process, command: &str) -> Result<String> {
        self.ask_all(process, &[command]).await
    }

    /// The answers of `process` to `commands`, in one: a connection costs more than they do.
    pub async fn ask_all(&self, process: &Process, commands: &[&str]) -> Result<String> {
        let (Some(master), Some(pid)) = (&self.master, process.pid) else {
            return self.runtime(&commands.join("; ")).await;
        };
        let commands: Vec<String> =
            commands.iter().map(|command| format!("@!{pid} {command}")).collect();
        let line = commands.join("; ");
        let answer = exchange(master, &line).await?;
        if answer.starts_with("Can't find the target") {
            return Err(refused(&line, &answer));
        }
        Ok(answer)
    }

    /// Give `process` commands that answer nothing worth reading, many at a time. What they did is to
    /// be read back.
    pub async fn tell(&self, process: &Process, commands: &[String]) -> Result<()> {
        let prefix = match (&self.master, process.pid) {
            (Some(_), Some(pid)) => format!("@!{pid} "),
            _ => String::new(),
        };
        let mut line = String::new();
        for command in commands {
            if line.len() + prefix.len() + command.len() + 2 > LONGEST_LINE {
                self.send(&line).await?;
                line.clear();
            }
            if !line.is_empty() {
                line.push_str("; ");
            }
            line.push_str(&prefix);
            line.push_str(command);
        }
        if line.is_empty() { Ok(()) } else { self.send(&line).await }
    }

    async fn send(&self, line: &str) -> Result<()> {
        let path = self.master.as_ref().or(self.runtime.as_ref());
        match path {
            Some(path) => exchange(path, line).await.map(drop),
            None => Err(Error::NotConfigured { setting: "master_socket" }),
        }
    }

    async fn runtime(&self, command: &str) -> Result<String> {
        match &self.runtime {
            Some(path) => exchange(path, command).await,
            None => Err(Error::NotConfigured { setting: "runtime_socket" }),
        }
    }
}

/// The proxy refused `command`.
pub(crate) fn refused(command: &str, answer: &str) -> Error {
    Error::Command { command: command.to_owned(), answer: answer.trim().to_owned() }
}

async fn exchange(path: &Path, command: &str) -> Result<String> {
    let failed = |source| Error::Socket { path: path.to_owned(), source };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let exchanged = timeout(LIMIT, talk(path, command)).await;
        let exchanged = exchanged.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        match exchanged {
            Err(error) if is_away(&error) && Instant::now() < deadline => sleep(AGAIN).await,
            exchanged => return exchanged.map_err(failed),
        }
    }
}

/// Nobody listens: the socket of a master that starts itself anew is away for moments.
fn is_away(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound)
}

async fn talk(path: &Path, command: &str) -> std::io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(command.as_bytes()).await?;
    stream.write_all(b"\n").await?;
    // The master answers and closes only when it has seen our end.
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The line `<pid> master <reloads> [failed: <failed>] …` of `show proc`.
fn parse_master(listed: &str) -> Option<Master> {
    let fields = |line: &'_ str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let line =
        listed.lines().map(fields).find(|line| line.get(1).is_some_and(|t| t == "master"))?;
    let failed = line.get(4).and_then(|failed| failed.trim_end_matches(']').parse().ok());
    let pid = line.first()?.parse().ok()?;
    Some(Master { pid, reloads: line.get(2)?.parse().ok()?, failed: failed.unwrap_or(0) })
}

/// The lines of `show proc`: `<pid> worker …`, those after `# old workers` replaced.
fn parse_processes(listed: &str) -> Vec<Process> {
    let mut old = false;
    let mut found = Vec::new();
    for line in listed.lines() {
        if line.starts_with("# old workers") {
            old = true;
        }
        let mut fields = line.split_whitespace();
        let pid = fields.next().and_then(|pid| pid.parse().ok());
        if let (Some(pid), Some("worker")) = (pid, fields.next()) {
            found.push(Process { pid: Some(pid), old });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_listed() {
        let listed = "#<PID>  <type>  <reloads>  <uptime>  <version>\n\
            1162  master  5 [failed: 0]  0d00h02m07s  2.6.12\n\
            # workers\n\
            1271  worker  1  0d00h00m00s  2.6.12\n\
            # old workers\n\
            1233  worker  3  0d00h00m43s  2.6.12\n\
            # programs\n";
        let process = |pid, old| Process { pid: Some(pid), old };
        assert_eq!(parse_master(listed), Some(Master { pid: 1162, reloads: 5, failed: 0 }));
        assert_eq!(parse_processes(listed), [process(1271, false), process(1233, true)]);
    }
}
