//! The daemon as a child process, and deployments through its API.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use verdigris::client::{Client, DaemonAddress, Followed};
use verdigris::model::{
    DeploymentId, DeploymentView, Event, Happening, Kind, OnBusy, OnDisconnect, Outcome, Request,
    ServiceName, Step,
};
use verdigris::stack::{self, Options, Source};

use crate::bed::{Bed, HOST};

/// The longest that one deployment may take here.
const LONGEST: Duration = Duration::from_secs(120);

/// `verdigris serve`; killed when dropped.
pub struct Daemon {
    child: Child,
    pub client: Client,
    pub home: PathBuf,
}

/// What is deployed.
#[derive(Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "switches, each for itself")]
pub struct Stack<'a> {
    /// Tag of the sample image.
    pub tag: &'a str,
    /// Whether tests run in containers before and after the start.
    pub containers: bool,
    /// Keep the old colour running.
    pub keep: bool,
    /// The gate after the switch asks for something that nobody answers.
    pub fails: bool,
    /// The new release is watched for a second before it is committed.
    pub bakes: bool,
    /// Two instances of it, not one.
    pub two: bool,
}

impl Daemon {
    /// Start it on `registry` and both proxies, with its state in `home`, and wait until it is ready.
    pub async fn start(bed: &Bed, registry: &str, home: &Path) -> Result<Self> {
        let socket = home.join("verdigris.sock");
        let (state, listen) = (home.join("state"), format!("unix:{}", socket.display()));
        let state = state.display().to_string();
        let arguments = [
            "config",
            "--registry",
            registry,
            "--proxy",
            "both",
            "--state",
            &state,
            "--listen",
            &listen,
        ];
        let text = with_templates(bed, &bed.testbed(&arguments)?, home)?;
        std::fs::write(home.join("verdigris.toml"), text)?;
        Self::on(home).await
    }

    /// Start it on what an earlier one left in `home`, and wait until it is ready.
    pub async fn on(home: &Path) -> Result<Self> {
        let mut daemon = Self::spawn(home)?;
        daemon.await_ready().await?;
        Ok(daemon)
    }

    /// Start it on what an earlier one left in `home`.
    pub fn spawn(home: &Path) -> Result<Self> {
        let log = std::fs::File::create(home.join("log"))?;
        // Built together with this program, and as this was.
        let binary = std::env::current_exe()?.with_file_name("verdigris");
        let child = Command::new(binary)
            .args(["serve", "--config"])
            .arg(home.join("verdigris.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let socket = home.join("verdigris.sock");
        let client = Client::new(DaemonAddress::Unix(socket), None)?;
        Ok(Self { child, client, home: home.to_owned() })
    }

    /// Wait until it has looked at everything once.
    pub async fn await_ready(&mut self) -> Result<()> {
        let http = reqwest::Client::builder()
            .tls_certs_only([])
            .unix_socket(self.home.join("verdigris.sock"))
            .build()?;
        let begun = Instant::now();
        loop {
            let answer = http.get("http://daemon/readyz").send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the daemon ended ({status}): {}", self.said());
            }
            ensure!(begun.elapsed() < LONGEST, "the daemon is not ready: {}", self.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn said(&self) -> String {
        let log = std::fs::read_to_string(self.home.join("log")).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join(" | ")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Deploy, and wait for the end.
    pub async fn deploy(&self, bed: &Bed, stack: &Stack<'_>) -> Result<DeploymentView> {
        let id = self.begin(bed, stack).await?;
        self.end_of(id).await
    }

    /// Deploy, and do not wait.
    pub async fn begin(&self, bed: &Bed, stack: &Stack<'_>) -> Result<DeploymentId> {
        let source = Source {
            name: "bench".to_owned(),
            text: stack_file(bed, stack).to_string(),
            base: self.home.clone(),
        };
        let draft = stack::load_one(&source, &Options::default())
            .map_err(|error| anyhow::anyhow!("the stack file: {error}"))?;
        self.submit(Kind::Deploy { draft }).await
    }

    /// Roll back to the release before.
    pub async fn roll_back(&self) -> Result<DeploymentView> {
        let id = self.submit(Kind::Rollback { service: service(), release: None }).await?;
        self.end_of(id).await
    }

    async fn submit(&self, kind: Kind) -> Result<DeploymentId> {
        let request = Request {
            kind,
            sequence: None,
            on_busy: OnBusy::Refuse,
            on_disconnect: OnDisconnect::Continue,
            deadline: None,
            force: true,
            by: "bench".to_owned(),
        };
        Ok(self.client.submit(&request).await?.deployment)
    }

    /// Wait for the end of a deployment.
    pub async fn end_of(&self, id: DeploymentId) -> Result<DeploymentView> {
        self.follow(id, |_| false).await?;
        Ok(self.client.deployment(id).await?)
    }

    /// Wait until `step` of a deployment begins.
    pub async fn until_began(&self, id: DeploymentId, step: Step) -> Result<()> {
        self.follow(id, |event| event.step == Some(step) && event.what == Happening::Began).await
    }

    /// Follow a deployment until `enough` says so, or to its end.
    async fn follow(&self, id: DeploymentId, enough: impl Fn(&Event) -> bool) -> Result<()> {
        let followed = async {
            let mut events = self.client.follow(id, false);
            while let Some(next) = events.next().await {
                if let Followed::Event(event) = next?
                    && enough(&event)
                {
                    break;
                }
            }
            Ok::<_, anyhow::Error>(())
        };
        tokio::time::timeout(LONGEST, followed).await.context("a deployment does not end")?
    }

    /// As `kill -9`.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Wait until the proxies' files say what the last flip did: they follow a moment later, and what
    /// comes sooner has to write them first.
    pub async fn until_files_follow(&self) -> Result<()> {
        let begun = Instant::now();
        for proxy in self.client.status(None).await?.proxies {
            while self.client.render(&proxy.name).await?.differs {
                ensure!(begun.elapsed() < LONGEST, "the file of {} does not follow", proxy.name);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// Reloads of all proxies of `kind` so far.
    pub async fn reloads(&self, kind: &str) -> Result<u64> {
        let status = self.client.status(None).await?;
        Ok(status.proxies.iter().filter(|p| p.kind == kind).map(|p| p.reloads).sum())
    }

    /// End it as a service manager does.
    pub async fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(begun.elapsed() < LONGEST, "the daemon does not end");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The service that is deployed.
pub fn service() -> ServiceName {
    "books-ms".parse().expect("it is a name")
}

/// The configuration with templates of our own, so that they can be edited.
fn with_templates(bed: &Bed, config: &str, home: &Path) -> Result<String> {
    let mut text = String::new();
    for line in config.lines() {
        text.push_str(line);
        text.push('\n');
        for name in ["nginx.conf.tera", "haproxy.cfg.tera"] {
            let kind = name.split('.').next().unwrap_or_default();
            if line == format!("kind = \"{kind}\"") {
                let copy = home.join(name);
                std::fs::copy(bed.root.join("templates").join(name), &copy)?;
                writeln!(text, "template = \"{}\"", copy.display())?;
            }
        }
    }
    Ok(text)
}

fn stack_file(bed: &Bed, stack: &Stack<'_>) -> serde_json::Value {
    let books = "/api/v1/books";
    let container = |point: &str| match stack.containers {
        true => serde_json::json!([{
            "name": point, "container": { "image": format!("{}/books-ms-tests:1.0", bed.images) },
        }]),
        false => serde_json::json!([]),
    };
    let mut public = serde_json::json!({ "path": books, "status": 200 });
    if stack.fails {
        public["body"] = "what nobody answers".into();
    }
    let mut block = serde_json::json!({
        "port": 8080,
        "route": { "hosts": [HOST], "path": books, "tls": true },
        "gates": {
            "pre_deployment": container("unit"),
            "pre_integration": container("smoke"),
            "post_integration": [{ "name": "public", "http": public }],
        },
        "stable_for": "200ms",
        "drain": "10s",
    });
    if stack.bakes {
        block["bake"] = serde_json::json!({ "for": "1s" });
    }
    if stack.keep {
        block["retain"] = serde_json::json!({ "releases": 1, "for": "1h" });
    }
    serde_json::json!({ "services": { "books-ms": {
        "image": format!("{}/books-ms:{}", bed.images, stack.tag),
        "healthcheck": {
            "test": ["CMD", "/books-ms", "health"],
            "interval": "250ms", "timeout": "5s", "retries": 20,
        },
        "deploy": { "replicas": if stack.two { 2 } else { 1 } },
        "x-verdigris": block,
    } } })
}

/// Ended as committed.
pub fn committed(view: &DeploymentView) -> Result<()> {
    match &view.outcome {
        Some(Outcome::Committed) => Ok(()),
        other => bail!("a deployment was not committed: {other:?}, {:?}", view.failure),
    }
}

/// From acceptance to the end, milliseconds.
pub fn whole(view: &DeploymentView) -> Result<f64> {
    let ended = view.ended.context("it has not ended")?;
    Ok(ended.duration_since(view.opened).as_secs_f64() * 1e3)
}

/// From acceptance to the proved switch, milliseconds.
pub fn until_switched(view: &DeploymentView) -> Result<f64> {
    let switch = view.steps.iter().find(|step| step.step == Step::Switch);
    let ended = switch.and_then(|step| step.ended).context("it has not switched")?;
    Ok(ended.duration_since(view.opened).as_secs_f64() * 1e3)
}

/// Order to proof of the switch, milliseconds.
pub fn switch(view: &DeploymentView) -> Result<f64> {
    let micros = view.switch_micros.context("it has not switched")?;
    Ok(Duration::from_micros(micros).as_secs_f64() * 1e3)
}
