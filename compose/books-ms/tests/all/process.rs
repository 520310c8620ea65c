//! Starts the two programs, and asks the service over bare TCP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// Nothing here takes longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running `books-ms` on a free port.
pub struct Service {
    pub address: SocketAddr,
    child: Child,
    /// Kept open, as a container's is.
    _output: BufReader<ChildStdout>,
}

/// A status and what came with it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

pub fn books_ms(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_books-ms"));
    command
        .env("BOOKS_PORT", "0")
        .env("VERDIGRIS_COLOUR", "green")
        .env("VERDIGRIS_RELEASE", "r7")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Service {
    /// Starts it and waits until it listens.
    pub fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = books_ms(environment).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let port = line.trim().rsplit(':').next().unwrap().parse().expect(&line);
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), child, _output: output }
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, "")
    }

    /// `headers` are whole lines.
    pub fn get_with(&self, path: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: books\r\nConnection: close\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().expect(&text);
        Answer { status, text }
    }

    pub fn status(&self, path: &str) -> u16 {
        self.get(path).status
    }

    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    }

    pub fn exit(&mut self) -> ExitStatus {
        until(|| self.child.try_wait().unwrap())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `books-ms-tests` to its end.
pub fn books_ms_tests(environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_books-ms-tests"))
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// Asks until there is something, but not for ever.
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let asked = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(asked.elapsed() < PATIENCE, "awaited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}
