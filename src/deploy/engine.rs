//! Owns all deployments under way: takes requests, keeps one deployment per service at a time, and
//! takes up after a restart what an earlier life left unfinished.

mod admission;
mod orders;
mod reading;
mod same;
mod way;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{self, FutureExt};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::feed::Feed;
use super::ledger::Ledger;
use super::outlets::{Outlets, Queued};
use super::ports::{EventLog, PortError, World};
use super::runner::{Command, Runner};
use super::saga::State;
use super::standing::Standing;
use crate::model::{DeploymentId, Happening, OnDisconnect, Request, ServiceName};

/// The owner of all deployments. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    world: World,
    ledger: Arc<Ledger>,
    outlets: Outlets,
    active: Mutex<BTreeMap<DeploymentId, Active>>,
    services: Mutex<BTreeMap<ServiceName, Arc<Turns>>>,
    problems: Mutex<Vec<String>>,
    launched: AtomicU64,
    shutdown: CancellationToken,
    tracker: TaskTracker,
}

/// One deployment under way.
#[derive(Clone)]
struct Active {
    request: Arc<Request>,
    feed: Arc<Feed>,
    commands: mpsc::Sender<Command>,
    standing: watch::Receiver<Standing>,
}

/// The turns of one service.
#[derive(Default)]
struct Turns {
    /// Held while it is decided whether a request is taken.
    door: AsyncMutex<()>,
    /// Held by the deployment under way; the queue is fair.
    stage: Arc<AsyncMutex<()>>,
}

impl Engine {
    /// An engine over `world`; `shutdown` parks everything.
    #[must_use]
    pub fn new(world: World, ledger: Arc<Ledger>, shutdown: CancellationToken) -> Self {
        let (outlets, said) = Outlets::new();
        let tracker = TaskTracker::new();
        tracker.spawn(keep(Arc::clone(&world.log), said));
        let inner = Inner {
            world,
            ledger,
            outlets,
            active: Mutex::default(),
            services: Mutex::default(),
            problems: Mutex::default(),
            launched: AtomicU64::default(),
            shutdown,
            tracker,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Take up what an earlier life left unfinished. A journal that makes no sense is left alone and
    /// named in [`Self::problems`]: nothing is stopped or retired on its word.
    pub async fn resume(&self) -> Result<(), PortError> {
        for id in self.inner.world.journal.unfinished().await? {
            let journal = self.inner.world.journal.read(id).await?;
            match State::replay(&journal) {
                Ok(state) => {
                    let said = self.inner.world.log.events(id).await.unwrap_or_default();
                    tracing::info!(deployment = %id, "taken up again");
                    self.launch(id, state, &Feed::new(id, said, self.inner.outlets.clone()));
                }
                Err(error) => {
                    let problem = format!(
                        "the journal of deployment {id} makes no sense and is left alone: {error}"
                    );
                    tracing::error!(deployment = %id, %error, "journal left alone");
                    lock(&self.inner.problems).push(problem);
                }
            }
        }
        Ok(())
    }

    /// What is wrong, one line each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        lock(&self.inner.problems).clone()
    }

    /// Wait until all deployments are parked or ended; to be called after the shutdown began.
    pub async fn parked(&self) {
        let runs: Vec<_> = lock(&self.inner.active).values().map(|a| a.standing.clone()).collect();
        for mut standing in runs {
            // An error says that the runner is gone, which is what is awaited.
            let _ = standing.wait_for(|standing| standing.left).await;
        }
    }

    fn launch(&self, id: DeploymentId, state: State, feed: &Arc<Feed>) {
        let (commands, inbox) = mpsc::channel(8);
        let request = Arc::new(state.request.clone());
        let turns = self.turns(request.service());
        let (runner, standing) = Runner::new(
            id,
            state,
            self.inner.world.clone(),
            Arc::clone(&self.inner.ledger),
            Arc::clone(feed),
            inbox,
            self.inner.shutdown.clone(),
        );
        let service = request.service().clone();
        let active = Active { request, feed: Arc::clone(feed), commands, standing };
        lock(&self.inner.active).insert(id, active);
        self.inner.launched.fetch_add(1, Ordering::Relaxed);
        let before = self.under_way(&service).filter(|before| *before != id);
        // A free turn is taken here, not when the task is first polled: of the deployments that are
        // taken up after a restart, the one that was under way goes before those that waited for it.
        let turn = if let Ok(turn) = Arc::clone(&turns.stage).try_lock_owned() {
            future::ready(turn).left_future()
        } else {
            if let Some(before) = before {
                let text = format!("waits for deployment {before}, which is under way");
                feed.say(None, Happening::Note { text });
            }
            Arc::clone(&turns.stage).lock_owned().right_future()
        };
        let engine = self.clone();
        self.inner.tracker.spawn(async move {
            runner.run_in_turn(turn).await;
            engine.ended(id);
        });
    }

    fn ended(&self, id: DeploymentId) {
        if let Some(active) = lock(&self.inner.active).remove(&id) {
            active.feed.close();
        }
    }

    /// The deployment of `service` that is under way, the oldest first if others wait for it.
    #[must_use]
    pub fn under_way(&self, service: &ServiceName) -> Option<DeploymentId> {
        self.active_of(service).first().map(|(id, _)| *id)
    }

    /// The turn of `service` while no deployment of it is under way: none begins while it is held.
    #[must_use]
    pub fn idle_turn(&self, service: &ServiceName) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.turns(service).stage).try_lock_owned().ok()
    }

    /// How many deployments this life has begun, or taken up again: nothing else adds to the journal.
    #[must_use]
    pub fn launched(&self) -> u64 {
        self.inner.launched.load(Ordering::Relaxed)
    }

    /// How the deployments under way stand.
    #[must_use]
    pub fn standings(&self) -> Vec<Standing> {
        lock(&self.inner.active).values().map(|active| active.standing.borrow().clone()).collect()
    }

    /// Whether `deployment` is under way.
    #[must_use]
    pub fn is_under_way(&self, deployment: DeploymentId) -> bool {
        lock(&self.inner.active).contains_key(&deployment)
    }

    /// Deployments under way that are to be reverted when nobody waits for them any more.
    #[must_use]
    pub fn held(&self) -> Vec<DeploymentId> {
        let active = lock(&self.inner.active);
        let held = active.iter().filter(|(_, active)| {
            active.request.on_disconnect == OnDisconnect::Revert
                && !active.standing.borrow().is_closed()
        });
        held.map(|(id, _)| *id).collect()
    }

    /// Services with a deployment under way.
    #[must_use]
    pub fn busy(&self) -> Vec<ServiceName> {
        lock(&self.inner.active).values().map(|active| active.request.service().clone()).collect()
    }

    /// Those that have not ended: one that only gives back its lease yet is in nobody's way, and the
    /// next has its turn after that.
    fn active_of(&self, service: &ServiceName) -> Vec<(DeploymentId, Active)> {
        let active = lock(&self.inner.active);
        let of_service = active
            .iter()
            .filter(|(_, active)| active.request.service() == service)
            .filter(|(_, active)| !active.standing.borrow().ended);
        of_service.map(|(id, active)| (*id, active.clone())).collect()
    }

    fn turns(&self, service: &ServiceName) -> Arc<Turns> {
        lock(&self.inner.services).entry(service.clone()).or_default().clone()
    }
}

/// Hand events to the log, one after another.
async fn keep(log: Arc<dyn EventLog>, mut said: mpsc::UnboundedReceiver<Queued>) {
    while let Some(queued) = said.recv().await {
        log.keep(&queued.event).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
