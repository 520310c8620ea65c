//! The daemon in the simulated world, with one life after another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use verdigris::deploy::engine::Engine;
use verdigris::deploy::ledger::Ledger;
use verdigris::discovery::Reconciler;
use verdigris::model::{DeploymentId, DeploymentView, Draft};

use crate::draft::{draft, request};
use crate::world::{Picture, Sim};

/// Longer than any deployment may take in virtual time, its faults and kills included.
const FOREVER: Duration = Duration::from_secs(4 * 3600);

/// How long a daemon may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// Run `story` to its end; only what it waits for takes time.
pub fn in_virtual_time(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let story = tokio::time::timeout(FOREVER, story);
        story.await.expect("the deployment reaches an end");
    });
}

/// One life of the daemon, and the way to the next.
pub struct Daemon {
    pub sim: Sim,
    pub engine: Engine,
    pub reconciler: Arc<Reconciler>,
    pub ledger: Arc<Ledger>,
    shutdown: CancellationToken,
}

impl Daemon {
    /// One with a release live, and `second` under way; and what there was before that.
    pub async fn deploying(sim: &Sim, second: Draft) -> (Self, DeploymentId, Picture) {
        let daemon = Self::start(sim).await;
        let first = daemon.engine.submit(request(draft("good/books:1"))).await.unwrap().deployment;
        let (daemon, _) = daemon.see_through(first).await;
        let before = sim.truth().picture();
        let id = daemon.engine.submit(request(second)).await.unwrap().deployment;
        (daemon, id, before)
    }

    pub async fn start(sim: &Sim) -> Self {
        let sim = sim.reborn();
        let world = sim.world();
        let ledger = Arc::new(Ledger::new(Arc::clone(&world.registry)));
        let shutdown = CancellationToken::new();
        let engine = Engine::new(world.clone(), Arc::clone(&ledger), shutdown.clone());
        engine.resume().await.expect("the journal can be read");
        let reconciler = Arc::new(Reconciler::new(world, Arc::clone(&ledger), engine.clone()));
        let (beside, until) = (Arc::clone(&reconciler), shutdown.clone());
        tokio::spawn(async move { beside.run(watch::channel(false).0, until).await });
        Self { sim, engine, reconciler, ledger, shutdown }
    }

    /// Go on, over as many lives as it takes, until the deployment has ended.
    pub async fn see_through(mut self, id: DeploymentId) -> (Self, DeploymentView) {
        let by = self.sim.daemon;
        let sim = self.sim.clone();
        self = self.until(|| !sim.truth().open.contains_key(&(by, id))).await;
        let view = self.engine.deployment(id).await.expect("it is on record");
        (self, view)
    }

    /// Go on, over as many lives as it takes, until no deployment is open.
    pub async fn see_all_through(self) -> Self {
        let by = self.sim.daemon;
        let sim = self.sim.clone();
        self.until(|| sim.truth().open.keys().all(|(other, _)| *other != by)).await
    }

    async fn until(mut self, over: impl Fn() -> bool) -> Self {
        while !over() {
            let pause = tokio::time::sleep(Duration::from_millis(50));
            tokio::select! {
                biased;
                () = self.sim.killed() => self = self.again().await,
                () = self.sim.asked_to_end.notified() => self = self.restart().await,
                () = pause => {}
            }
        }
        self
    }

    /// End it in good order, or by force when that takes too long, and start it anew.
    pub async fn restart(self) -> Self {
        self.shutdown.cancel();
        tokio::select! {
            biased;
            () = self.sim.killed() => {}
            _ = tokio::time::timeout(GRACE, self.engine.parked()) => self.sim.end(),
        }
        Self::start(&self.sim).await
    }

    async fn again(self) -> Self {
        self.shutdown.cancel();
        Self::start(&self.sim).await
    }

    /// Let everything settle: nothing fails any more, and there is time to look twice.
    pub async fn settle(self) -> Self {
        self.sim.truth().end_faults();
        let daemon = if self.sim.lives() { self } else { self.again().await };
        tokio::time::sleep(Duration::from_secs(30)).await;
        daemon
    }
}
