//! The real daemon as a child process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use verdigris::client::{Client, DaemonAddress};

use super::{curl, run};

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_verdigris");

/// `verdigris serve`; killed when dropped.
pub struct Daemon {
    child: Child,
    /// Its unix socket.
    pub socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, and waits until it has looked at everything once.
    pub async fn start(home: &Path, environment: &[(&str, &str)]) -> Self {
        Self::start_as(Path::new(BINARY), home, environment).await
    }

    /// The same with another binary.
    pub async fn start_as(binary: &Path, home: &Path, environment: &[(&str, &str)]) -> Self {
        let mut daemon = Self::spawn_as(binary, home, environment);
        daemon.await_ready().await;
        daemon
    }

    /// Starts it.
    pub fn spawn(home: &Path, environment: &[(&str, &str)]) -> Self {
        Self::spawn_as(Path::new(BINARY), home, environment)
    }

    fn spawn_as(binary: &Path, home: &Path, environment: &[(&str, &str)]) -> Self {
        let (config, log) = (home.join("verdigris.toml"), home.join("log"));
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(&config)
            .env("RUST_LOG", std::env::var("RUST_LOG").unwrap_or("info,verdigris=debug".into()))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        run::adopt(child.id());
        Self { child, socket: home.join("state/verdigris.sock"), log }
    }

    /// Waits until it answers that it is ready.
    pub async fn await_ready(&mut self) {
        let begun = Instant::now();
        let http = curl::client(Some(&self.socket));
        loop {
            let answer = http.get("http://verdigris/readyz").send().await;
            if answer.is_ok_and(|answer| answer.status() == 200) {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the daemon ended ({status}):\n{}", self.said());
            }
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(30), "not ready:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A client of its API.
    pub fn client(&self) -> Client {
        Client::new(DaemonAddress::Unix(self.socket.clone()), None).unwrap()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, by SIGTERM, and waits for that.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.ended().await
    }

    /// It stands still until [`Self::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// It goes on, and does not know that it stood still.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it runs on:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The end of its log.
    pub fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the daemon's log ends with\n{}", self.said());
        }
    }
}
