//! A daemon on a testbed of its own: what a test of the whole acts on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use verdigris::api::Because;
use verdigris::client::{Client, ClientError, Followed};
use verdigris::deploy::control::{Refusal, Submitted};
use verdigris::model::{
    DeploymentId, DeploymentView, Event, Happening, Kind, OnBusy, OnDisconnect, Outcome, Request,
    Step,
};
use verdigris::stack::{Options, Source, load_one};

use super::bed::{Lease, lease, lease_of};
use super::daemon::Daemon;
use super::disk::SmallDisk;
use super::picture::Picture;
use super::stack::host;
use super::{Stack, curl, run};

/// Which registry the daemon keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registry {
    Embedded,
    Consul,
    /// With TLS, and a token that allows what is needed and no more.
    SecureConsul,
}

impl Registry {
    pub fn word(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Consul => "consul",
            Self::SecureConsul => "secure-consul",
        }
    }
}

/// Which proxies it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    Nginx,
    Haproxy,
    Both,
}

impl Proxy {
    pub fn word(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Both => "both",
        }
    }

    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &["nginx"],
            Self::Haproxy => &["haproxy"],
            Self::Both => &["nginx", "haproxy"],
        }
    }
}

/// A daemon on a testbed.
pub struct World {
    pub daemon: Daemon,
    pub bed: Lease,
    pub registry: Registry,
    pub proxy: Proxy,
    pub home: PathBuf,
}

/// How a deployment ended.
#[derive(Debug)]
pub struct Ended {
    pub view: DeploymentView,
    pub events: Vec<Event>,
}

impl Ended {
    /// The exit code of a `deploy` that waited.
    pub fn exit(&self) -> u8 {
        self.outcome().exit_code() as u8
    }

    pub fn outcome(&self) -> &Outcome {
        self.view.outcome.as_ref().expect("it has ended")
    }

    /// It committed, or it is told why not.
    #[track_caller]
    pub fn committed(self) -> Self {
        assert_eq!(self.outcome(), &Outcome::Committed, "{}", self.story());
        self
    }

    /// Everything that was told of the failure: message, details and remedy, line by line.
    pub fn told(&self) -> String {
        let Outcome::Reverted { failure } = self.outcome() else {
            panic!("not reverted: {}", self.story())
        };
        let lines = [vec![failure.message.clone()], failure.details.clone()].concat();
        format!("{}\n{}", lines.join("\n"), failure.remedy.as_deref().unwrap_or_default())
    }

    /// What happened, for a message.
    pub fn story(&self) -> String {
        let lines: Vec<String> =
            self.events.iter().map(|e| format!("{} {:?} {:?}", e.at, e.step, e.what)).collect();
        format!("{:?}\n{}", self.view.outcome, lines.join("\n"))
    }
}

impl World {
    /// A fresh daemon on a fresh testbed; none when tests on real parts are left out.
    pub async fn new(registry: Registry, proxy: Proxy) -> Option<Self> {
        Self::with(registry, proxy, |config| config).await
    }

    /// The same, with the configuration changed by `change`.
    pub async fn with(
        registry: Registry,
        proxy: Proxy,
        change: impl FnOnce(String) -> String,
    ) -> Option<Self> {
        Some(Self::on(lease().await?, registry, proxy, change).await)
    }

    /// The same on a Swarm of `nodes` nodes.
    pub async fn of_nodes(nodes: usize, registry: Registry, proxy: Proxy) -> Option<Self> {
        Some(Self::on(lease_of(nodes).await?, registry, proxy, |config| config).await)
    }

    async fn on(
        bed: Lease,
        registry: Registry,
        proxy: Proxy,
        change: impl FnOnce(String) -> String,
    ) -> Self {
        if registry == Registry::SecureConsul {
            bed.testbed(&["secure-consul", "wipe"]);
        }
        let home = fresh_home();
        configure(&bed, &home, registry, proxy, change);
        let daemon = Daemon::start(&home, &[]).await;
        Self { daemon, bed, registry, proxy, home }
    }

    /// Another daemon on the same testbed and registry, with a state of its own.
    pub async fn second_daemon(&self, proxy: Proxy) -> Daemon {
        let home = fresh_home();
        configure(&self.bed, &home, self.registry, proxy, |config| config);
        Daemon::start(&home, &[]).await
    }

    /// The same with the first release of `books-ms` live already, in blue.
    pub async fn with_first(registry: Registry, proxy: Proxy) -> Option<Self> {
        let world = Self::new(registry, proxy).await?;
        world.deploy(&world.books("1.0")).await.committed();
        Some(world)
    }

    /// The stack file of `books-ms` in an edition.
    pub fn books(&self, edition: &str) -> Stack {
        Stack::new("books-ms", &self.bed.image(&format!("books-ms:{edition}")))
    }

    pub fn client(&self) -> Client {
        self.daemon.client()
    }

    pub fn state(&self) -> PathBuf {
        self.home.join("state")
    }

    /// Everything outside as it stands, seen without the daemon's help.
    pub async fn picture(&self) -> Picture {
        Picture::take(self).await
    }

    /// Waits until it is whole: an instance may be just being replaced.
    pub async fn becomes_whole(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match self.picture().await.is_whole() {
                Err(_) if begun.elapsed() < Duration::from_secs(20) => {}
                whole => return whole,
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The picture once it stays the same, and nothing that was stopped is ending yet.
    pub async fn at_rest(&self) -> Picture {
        self.becomes_whole().await.unwrap();
        self.settled().await
    }

    /// The picture once it stays the same.
    pub async fn settled(&self) -> Picture {
        let begun = Instant::now();
        let mut last = self.picture().await;
        loop {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let now = self.picture().await;
            if now == last {
                return now;
            }
            let difference = last.difference(&now);
            assert!(begun.elapsed() < Duration::from_secs(30), "no rest: {difference}");
            last = now;
        }
    }

    /// Waits until nothing is there whose name begins with `start`.
    pub async fn until_gone(&self, start: &str) {
        let begun = Instant::now();
        while self.picture().await.parts(start).next().is_some() {
            assert!(begun.elapsed() < Duration::from_secs(30), "`{start}` stays");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until the picture equals `before`; what differs when it never does.
    pub async fn settles_as(&self, before: &Picture) -> Result<(), String> {
        self.settles(before, Clone::clone).await
    }

    /// The same, whichever containers run and wherever they are.
    pub async fn settles_as_but_for_containers(&self, before: &Picture) -> Result<(), String> {
        self.settles(before, Picture::without_containers).await
    }

    async fn settles(
        &self,
        before: &Picture,
        view: impl Fn(&Picture) -> Picture,
    ) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let difference = view(before).compare(&view(&self.picture().await));
            if difference.is_empty() {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(5) {
                return Err(difference);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Waits until everything is as `before`, for longer than it takes when all goes well.
    pub async fn settles_within(&self, before: &Picture, limit: Duration) {
        let begun = Instant::now();
        while let Err(difference) = self.settles_as(before).await {
            let waited = begun.elapsed();
            assert!(waited < limit, "{difference}\n{}", self.daemon.said());
        }
    }

    /// Waits until both ports of a proxy are answered by `colour`.
    pub async fn until_answered(&self, proxy: &str, colour: &str) {
        self.until_led("books-ms", proxy, colour).await;
    }

    /// The same of any service.
    pub async fn until_led(&self, service: &str, proxy: &str, colour: &str) {
        let begun = Instant::now();
        let said = format!("\"{colour}\"");
        loop {
            let answers = self.answers_of(service, proxy).await;
            if answers.iter().all(|answer| answer.contains(&said)) {
                return;
            }
            let waited = begun.elapsed();
            assert!(
                waited < Duration::from_secs(60),
                "{service} by {proxy}: {answers:?}\n{}",
                self.daemon.said()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What a proxy answers on its two ports, now.
    pub async fn answers(&self, proxy: &str) -> [String; 2] {
        self.answers_of("books-ms", proxy).await
    }

    async fn answers_of(&self, service: &str, proxy: &str) -> [String; 2] {
        let ca = std::fs::read(self.bed.env("TESTBED_CA")).unwrap();
        let host = host(service);
        let mut answers = [String::new(), String::new()];
        for ((scheme, port), said) in [("http", 80), ("https", 443)].into_iter().zip(&mut answers) {
            let address = SocketAddr::new(self.bed.address(proxy), port);
            let http = curl::public(&ca, &host, address);
            let url = format!("{scheme}://{host}/api/v1/books/version");
            *said = match http.get(&url).send().await {
                Ok(answer) if answer.status() == 200 => answer.text().await.unwrap_or_default(),
                Ok(answer) => answer.status().to_string(),
                Err(error) => format!("{error:?}"),
            };
        }
        answers
    }

    /// Puts the credentials of the private registry of images where Docker keeps them.
    pub fn write_login(&self, directory: &Path) {
        let said = |name| self.bed.env(name);
        let pair = format!("{}:{}", said("TESTBED_PRIVATE_USER"), said("TESTBED_PRIVATE_PASSWORD"));
        let auth = STANDARD.encode(pair);
        let config = json!({ "auths": { said("TESTBED_PRIVATE_IMAGES"): { "auth": auth } } });
        std::fs::write(directory.join("config.json"), config.to_string()).unwrap();
    }

    /// Deploys and waits for the end.
    pub async fn deploy(&self, stack: &Stack) -> Ended {
        self.run(request(stack)).await
    }

    /// Asks and waits for the end.
    pub async fn run(&self, request: Request) -> Ended {
        let submitted = self.submit(request).await.unwrap_or_else(|refusal| {
            panic!("refused: {refusal:#?}\n{}", self.daemon.said());
        });
        self.end_of(submitted.deployment).await
    }

    /// Asks.
    pub async fn submit(&self, request: Request) -> Result<Submitted, Box<Refusal>> {
        match self.client().submit(&request).await {
            Ok(submitted) => Ok(submitted),
            Err(ClientError::Refused(refusal)) => Err(refusal),
            Err(error) => panic!("{error:?}\n{}", self.daemon.said()),
        }
    }

    /// A person lets a deployment go on.
    pub async fn approve(&self, id: DeploymentId) {
        self.try_approve(id).await.unwrap();
    }

    /// The same, where it may be over by then.
    pub async fn try_approve(&self, id: DeploymentId) -> Result<(), ClientError> {
        self.client().approve(id, &because()).await
    }

    /// A person does not.
    pub async fn reject(&self, id: DeploymentId) {
        self.client().reject(id, &because()).await.unwrap();
    }

    /// Waits for the end of a deployment.
    pub async fn end_of(&self, id: DeploymentId) -> Ended {
        let events = self.follow(id, |event| matches!(event.what, Happening::Ended { .. })).await;
        let begun = Instant::now();
        loop {
            let view = self.client().deployment(id).await.unwrap();
            if view.outcome.is_some() {
                return Ended { view, events };
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "it has not ended: {view:#?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until `step` begins.
    pub async fn until_begun(&self, id: DeploymentId, step: Step) -> Vec<Event> {
        self.follow(id, |event| event.step == Some(step) && event.what == Happening::Began).await
    }

    /// Follows a deployment until `enough` says so.
    pub async fn follow(&self, id: DeploymentId, enough: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        let mut following = self.client().follow(id, false);
        let all = async {
            while let Some(next) = following.next().await {
                if let Followed::Event(event) = next.unwrap() {
                    let found = enough(&event);
                    events.push(event);
                    if found {
                        return;
                    }
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), all).await;
        assert!(waited.is_ok(), "waited in vain: {events:#?}\n{}", self.daemon.said());
        events
    }

    /// Moves the state to a file system of its own that can be filled; the daemon must not run.
    pub fn on_a_small_disk(&self) -> SmallDisk {
        SmallDisk::under(&self.state())
    }

    /// Kills the daemon and starts it again on the same state.
    pub async fn restart(&mut self, environment: &[(&str, &str)]) {
        self.daemon.kill();
        self.daemon = Daemon::start(&self.home, environment).await;
    }
}

fn because() -> Because {
    Because { by: "tester".to_owned(), why: "a test".to_owned() }
}

/// Writes the configuration of a daemon into `home`.
fn configure(
    bed: &Lease,
    home: &Path,
    registry: Registry,
    proxy: Proxy,
    change: impl FnOnce(String) -> String,
) {
    let state = home.join("state");
    let arguments = ["config", "--registry", registry.word(), "--proxy", proxy.word(), "--state"];
    let config = bed.testbed(&[&arguments[..], &[state.to_str().unwrap()]].concat());
    std::fs::write(home.join("verdigris.toml"), change(config)).unwrap();
}

/// A directory in the run's.
pub fn fresh_home() -> PathBuf {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let home = run::directory().join(format!("w{number}"));
    std::fs::create_dir_all(&home).unwrap();
    home
}

/// The request that `verdigris deploy -f` makes of a stack file.
pub fn request(stack: &Stack) -> Request {
    let source = Source {
        name: "stack.yml".to_owned(),
        text: stack.text(),
        base: Path::new("/nonexistent").to_owned(),
    };
    let draft = load_one(&source, &Options::default()).unwrap_or_else(|e| panic!("{e:?}"));
    asking(Kind::Deploy { draft })
}

/// The request for going back.
pub fn rollback(service: &str) -> Request {
    asking(Kind::Rollback { service: service.parse().unwrap(), release: None })
}

fn asking(kind: Kind) -> Request {
    Request {
        kind,
        sequence: None,
        on_busy: OnBusy::Refuse,
        on_disconnect: OnDisconnect::Continue,
        deadline: None,
        force: false,
        by: "tester".to_owned(),
    }
}
