//! What the command line makes of the engine's own events. The program is a process of its own, so this
//! world's clock is the real one.

use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use prometheus_client::registry::Registry;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use verdigris::api::auth::Auth;
use verdigris::api::{Holds, Listener, Surroundings, router, serve};
use verdigris::deploy::control::{Control, Finding, Refusal, RefusalKind, Rendered, Submitted};
use verdigris::deploy::engine::Engine;
use verdigris::model::{DeploymentId, DeploymentView, Event, Plan, Request, ServiceName, Status};

use crate::daemon::Daemon;
use crate::world::Sim;

/// The engine, as the API is given it.
struct Asked(Engine);

fn elsewhere() -> Refusal {
    Refusal::new(RefusalKind::Internal, "this world has only an engine")
}

#[async_trait]
impl Control for Asked {
    async fn submit(&self, request: Request) -> Result<Submitted, Refusal> {
        self.0.submit(request).await
    }

    async fn plan(&self, request: Request) -> Result<Plan, Refusal> {
        self.0.plan(&request).await
    }

    async fn abort(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        self.0.abort(id, by, why).await
    }

    async fn approve(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        self.0.approve(id, by).await
    }

    async fn reject(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        self.0.reject(id, by, why).await
    }

    async fn retry(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        self.0.retry(id, by).await
    }

    async fn deployment(&self, id: DeploymentId) -> Result<DeploymentView, Refusal> {
        self.0.deployment(id).await
    }

    async fn history(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        self.0.history(service, limit).await
    }

    async fn committed(
        &self,
        service: &ServiceName,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        self.0.committed(service, limit).await
    }

    async fn stuck(&self) -> Result<Vec<DeploymentView>, Refusal> {
        self.0.stuck().await
    }

    async fn events(&self, id: DeploymentId) -> Result<Vec<Event>, Refusal> {
        self.0.events(id).await
    }

    async fn follow(
        &self,
        id: DeploymentId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Event>, Refusal> {
        self.0.follow(id, after).await
    }

    fn watch(&self) -> BoxStream<'static, Event> {
        self.0.watch()
    }

    fn news(&self) -> BoxStream<'static, Event> {
        self.0.news()
    }

    async fn status(&self, _: Option<&ServiceName>) -> Result<Status, Refusal> {
        Err(elsewhere())
    }

    async fn render(&self, _: &str) -> Result<Rendered, Refusal> {
        Err(elsewhere())
    }

    async fn doctor(&self) -> Vec<Finding> {
        Vec::new()
    }
}

const STACK: &str = "\
services:
  books-ms:
    image: good/books:1
    x-verdigris:
      port: 8080
      route: { hosts: [books.example.com], path: / }
      gates: { pre_integration: [{ name: fail, command: { argv: [fail] } }] }
      stable_for: 100ms
";

async fn listens(engine: &Engine, socket: &Path) -> CancellationToken {
    let shutdown = CancellationToken::new();
    let control: Arc<dyn Control> = Arc::new(Asked(engine.clone()));
    let surroundings = Surroundings {
        holds: Holds::new(Arc::clone(&control), shutdown.clone()),
        control,
        ready: watch::channel(true).1,
        metrics: Arc::new(Registry::default()),
        shutdown: shutdown.clone(),
    };
    let listener = Listener::unix(socket).await.unwrap();
    tokio::spawn(serve(listener, router(surroundings, Auth::Socket), shutdown.clone()));
    shutdown
}

fn deploys(directory: &Path) -> Child {
    std::fs::write(directory.join("stack.yml"), STACK).unwrap();
    Command::new(env!("CARGO_BIN_EXE_verdigris"))
        .current_dir(directory)
        .args(["deploy", "--daemon", "unix:verdigris.sock", "--junit", "report.xml"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn end_of(child: Child) -> (i32, String, String) {
    // An undo is tried for ten seconds before it is stuck, and that is waited out for fifteen.
    let output = tokio::time::timeout(Duration::from_secs(90), child.wait_with_output()).await;
    let Output { status, stdout, stderr } = output.expect("it leaves").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

#[tokio::test]
async fn a_deployment_that_is_stuck_ends_the_command_with_20_and_says_all() {
    let sim = Sim::new(1);
    let daemon = Daemon::start(&sim).await;
    sim.truth().refuse_restore = Some("books-ms-blue".to_owned());
    let directory = tempfile::tempdir().unwrap();
    let shutdown = listens(&daemon.engine, &directory.path().join("verdigris.sock")).await;
    let (code, out, err) = end_of(deploys(directory.path())).await;
    assert_eq!(code, 20, "{out}\n{err}");
    let stuck = daemon.engine.history(None, 1).await.unwrap().remove(0);
    for words in [
        "error: `pre-integration`: ",
        "stuck: `start`: cannot remove `books-ms-blue`: a task does not stop",
        "still to be undone: start",
        &format!("`verdigris retry {}`", stuck.id),
    ] {
        assert!(err.contains(words), "{words} in {err}");
    }
    let report = std::fs::read_to_string(directory.path().join("report.xml")).unwrap();
    assert!(report.contains("a task does not stop"), "{report}");
    shutdown.cancel();
}
