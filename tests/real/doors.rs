//! The two ways to a daemon: its socket, and TCP with a token.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::commands::said;
use crate::support::daemon::BINARY;
use crate::support::{Proxy, Registry, World, run};

/// A way to the daemon.
pub struct Door {
    pub address: String,
    pub token: Option<PathBuf>,
    pub home: PathBuf,
}

impl Door {
    fn verdigris(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("VERDIGRIS_DAEMON", &self.address).current_dir(&self.home);
        if let Some(file) = &self.token {
            command.env("VERDIGRIS_TOKEN_FILE", file);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Exit code, and all that was said.
    pub fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.verdigris(arguments).output().unwrap();
        (output.status.code().unwrap_or(-1), said(&output))
    }

    /// What it prints; it must end with `code`.
    #[track_caller]
    pub fn prints(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.verdigris(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.prints(0, &[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Deploys without waiting, and waits until a person is asked; the deployment's id.
    pub fn begin(&self, more: &[&str]) -> String {
        let id = self.prints(0, &[&["deploy", "--detach"], more].concat()).trim().to_owned();
        let begun = Instant::now();
        while self.json(&["show", &id])["phase"] != "waiting" {
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", self.json(&["show", &id]));
            std::thread::sleep(Duration::from_millis(50));
        }
        id
    }

    /// It goes on in the background, into a file of its own.
    pub fn spawn(&self, file: &str, arguments: &[&str]) -> Child {
        let file = File::create(self.home.join(file)).unwrap();
        let child = self.verdigris(arguments).stdout(file).spawn().unwrap();
        run::adopt(child.id());
        child
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.join(name)).unwrap()
    }
}

/// A daemon that listens on TCP, too, with its two doors.
pub async fn with_two_doors() -> Option<(World, [Door; 2])> {
    with_two_doors_on(Registry::Embedded).await
}

/// The same with another registry.
pub async fn with_two_doors_on(registry: Registry) -> Option<(World, [Door; 2])> {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let token = "0123456789abcdef0123456789abcdef";
    let hash = hex::encode(Sha256::digest(token));
    let change = |config: String| {
        let tcp = format!("verdigris.sock\", \"tcp:{free}\"]\n");
        let scopes = "scopes = [\"read\", \"deploy\", \"operate\"]\n";
        let token = format!("\n[[token]]\nname = \"tester\"\nhash = \"{hash}\"\n{scopes}");
        config.replace("verdigris.sock\"]\n", &tcp) + &token
    };
    let world = World::with(registry, Proxy::Both, change).await?;
    let file = world.home.join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let home = world.home.clone();
    let unix = format!("unix:{}", world.daemon.socket.display());
    let doors = [
        Door { address: unix, token: None, home: home.clone() },
        Door { address: format!("http://{free}"), token: Some(file), home },
    ];
    Some((world, doors))
}
