//! A connection that `ssh` makes: what it is given, and why it ended.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Join, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::{Sleep, sleep, timeout};

use super::Endpoint;
use crate::lines::LineBuffer;

/// Of what `ssh` says only the last lines are told: the cause stands in the last but seldom …
const MOST_LINES: usize = 5;

/// … and of each of them so many characters.
const LONGEST_LINE: usize = 300;

/// `ssh` has ended this soon after it has closed its pipes.
const LEAVES: Duration = Duration::from_secs(1);

/// What it said is read this soon after it has ended: what it leaves running for later connections
/// (`ControlPersist`) may keep its standard error open for hours.
const LINGERS: Duration = Duration::from_millis(200);

/// Reads what `ssh` prints, writes what it reads; the process ends with the connection.
pub(super) struct SshStream {
    pipes: Join<ChildStdout, ChildStdin>,
    end: End,
}

/// The end of the process: an error is what it said last.
struct End {
    coming: BoxFuture<'static, Result<(), String>>,
    known: Option<Result<(), String>>,
    /// Its pipes are closed: it is waited for until then.
    limit: Option<Pin<Box<Sleep>>>,
}

/// The same way as `docker` goes: its own `dial-stdio` on the other side, so nothing has to be opened
/// there. Never asks anything: there is nobody to answer.
pub(super) fn dial(endpoint: &Endpoint) -> io::Result<SshStream> {
    let child = Command::new("ssh")
        .args(arguments(endpoint))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = child
        .map_err(|error| io::Error::new(error.kind(), format!("cannot start `ssh`: {error}")))?;
    let pipes = (child.stdout.take(), child.stdin.take(), child.stderr.take());
    let (Some(stdout), Some(stdin), Some(stderr)) = pipes else {
        return Err(io::Error::other("`ssh` was started without its pipes"));
    };
    let end = End { coming: Box::pin(watch(child, stderr)), known: None, limit: None };
    Ok(SshStream { pipes: tokio::io::join(stdout, stdin), end })
}

fn arguments(endpoint: &Endpoint) -> Vec<String> {
    let Endpoint::Ssh { user, host, port, socket } = endpoint else {
        return Vec::new();
    };
    let mut arguments: Vec<String> =
        ["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"].map(str::to_owned).to_vec();
    if let Some(user) = user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["--".to_owned(), host.clone(), "docker".to_owned()]);
    if let Some(socket) = socket {
        // The words after the host are joined and read by a shell over there.
        let quoted = socket.display().to_string().replace('\'', r"'\''");
        arguments.extend(["--host".to_owned(), format!("'unix://{quoted}'")]);
    }
    arguments.extend(["system".to_owned(), "dial-stdio".to_owned()]);
    arguments
}

/// Wait for the end of `ssh`, and read meanwhile what it says: it could not go on once the pipe is full.
async fn watch(mut child: Child, stderr: ChildStderr) -> Result<(), String> {
    let mut words = LastWords::default();
    let status = {
        let mut reading = std::pin::pin!(words.read(stderr));
        tokio::select! {
            () = &mut reading => child.wait().await,
            status = child.wait() => {
                let _ = timeout(LINGERS, reading).await;
                status
            }
        }
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`ssh` ended ({status}){}", words.told())),
        Err(error) => Err(format!("the end of `ssh` is not known: {error}")),
    }
}

/// The last lines of what `ssh`, or the shell on the other side, writes to its standard error. They tell
/// nobody's secret: it asks for no password (`BatchMode`), and never prints a key.
#[derive(Debug, Default)]
struct LastWords {
    lines: VecDeque<String>,
}

impl LastWords {
    async fn read(&mut self, mut stderr: impl AsyncRead + Unpin) {
        let mut buffer = LineBuffer::default();
        let mut piece = [0; 1024];
        while let Ok(length @ 1..) = stderr.read(&mut piece).await {
            for line in buffer.push(&piece[..length]) {
                self.push(&line);
            }
        }
        if let Some(line) = buffer.finish() {
            self.push(&line);
        }
    }

    fn push(&mut self, line: &str) {
        let line: String = line.trim().chars().take(LONGEST_LINE).collect();
        if line.is_empty() {
            return;
        }
        self.lines.push_back(line);
        if self.lines.len() > MOST_LINES {
            self.lines.pop_front();
        }
    }

    /// As the end of a sentence.
    fn told(&self) -> String {
        if self.lines.is_empty() {
            return " and said nothing".to_owned();
        }
        let lines: Vec<&str> = self.lines.iter().map(String::as_str).collect();
        format!(": {}", lines.join("; "))
    }
}

impl End {
    /// Have what `ssh` says read.
    fn look(&mut self, cx: &mut Context<'_>) {
        if self.known.is_none()
            && let Poll::Ready(end) = self.coming.as_mut().poll(cx)
        {
            self.known = Some(end);
        }
    }

    /// The pipes are closed: an error if `ssh` failed, and not if it just ended or takes its time.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(cx);
        if let Some(end) = &self.known {
            return Poll::Ready(end.clone().map_err(io::Error::other));
        }
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(LEAVES)));
        limit.as_mut().poll(cx).map(Ok)
    }
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.end.look(cx);
        let (before, room) = (buf.filled().len(), buf.remaining());
        ready!(Pin::new(&mut self.pipes).poll_read(cx, buf))?;
        if buf.filled().len() == before && room > 0 {
            return self.end.poll(cx);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match ready!(Pin::new(&mut self.pipes).poll_write(cx, buf)) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                ready!(self.end.poll(cx))?;
                Poll::Ready(Err(error))
            }
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_gets_the_host_after_all_options_and_a_quoted_path() {
        let endpoint = "ssh://me@manager:2222/run/o'k/docker.sock".parse().unwrap();
        assert_eq!(
            arguments(&endpoint).join(" "),
            "-T -o BatchMode=yes -o ConnectTimeout=15 -l me -p 2222 -- manager docker \
             --host 'unix:///run/o'\\''k/docker.sock' system dial-stdio"
        );
    }

    #[tokio::test]
    async fn of_what_it_says_the_end_is_kept_and_nothing_without_bounds() {
        let mut words = LastWords::default();
        let long = "x".repeat(10_000);
        let said = format!("first\n{long}\r\n\n \ntwo\n\x1b[31mthree\x1b[0m\nfour\nno end");
        words.read(said.as_bytes()).await;
        let long = &long[..LONGEST_LINE];
        assert_eq!(words.told(), format!(": {long}; two; three; four; no end"));
        assert_eq!(LastWords::default().told(), " and said nothing");
    }
}
