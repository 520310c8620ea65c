//! Owns all deployments under way: takes requests, keeps one deployment per service at a time, and
//! takes up after a restart what an earlier life left unfinished.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{self, FutureExt};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, broadcast, mpsc};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::action;
use super::control::{Refusal, RefusalKind, Submitted};
use super::feed::{Feed, Outlets};
use super::history;
use super::ledger::Ledger;
use super::plan::plan;
use super::ports::{PortError, Trouble, World};
use super::record::Journalled;
use super::runner::{Command, Runner, opening};
use super::saga::State;
use super::standing::Standing;
use super::view::{told, view};
use crate::model::{
    DeploymentId, DeploymentView, Event, Failure, FailureKind, Happening, OnBusy, Plan, Request,
    ServiceName, Step,
};

/// Events that a slow watcher may be behind before it misses some.
const WATCH_BEHIND: usize = 1024;

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
    shutdown: CancellationToken,
    tracker: TaskTracker,
}

/// One deployment under way.
#[derive(Clone)]
struct Active {
    request: Arc<Request>,
    feed: Arc<Feed>,
    commands: mpsc::Sender<Command>,
    standing: tokio::sync::watch::Receiver<Standing>,
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
        let (log, said) = mpsc::unbounded_channel();
        let (everybody, _) = broadcast::channel(WATCH_BEHIND);
        let tracker = TaskTracker::new();
        tracker.spawn(keep(Arc::clone(&world.log), said));
        let inner = Inner {
            world,
            ledger,
            outlets: Outlets { log, everybody },
            active: Mutex::default(),
            services: Mutex::default(),
            problems: Mutex::default(),
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
                    self.launch(id, state, said);
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

    /// Take a request.
    pub async fn submit(&self, request: Request) -> Result<Submitted, Refusal> {
        if self.inner.shutdown.is_cancelled() {
            return Err(refuse(RefusalKind::ShuttingDown, "the daemon is shutting down"));
        }
        let turns = self.turns(request.service());
        let _door = turns.door.lock().await;
        let others = self.active_of(request.service());
        let same = others.iter().find(|(_, other)| other.request.kind == request.kind);
        if let Some((id, _)) = same {
            return Ok(Submitted { deployment: *id, attached: true });
        }
        self.check_sequence(&request).await?;
        self.make_way(&request, &others).await?;
        self.claim(&request).await?;
        let id = self.next_id().await?;
        let service = request.service().clone();
        let entry = opening(request, self.inner.world.clock.now());
        if let Err(error) = self.inner.world.journal.append(id, &entry.record).await {
            if others.is_empty() {
                self.inner.world.leases.leave(&service, false).await;
            }
            return Err(unavailable(&error));
        }
        super::failpoint::passed();
        let Some(state) = State::open(&entry) else {
            return Err(refuse(RefusalKind::Internal, "the opening record is none"));
        };
        let feed = self.launch(id, state, Vec::new());
        let (step, what) = told(&entry.record);
        feed.say(step, what);
        Ok(Submitted { deployment: id, attached: false })
    }

    /// An id that sorts after all that there are, also when the wall clock has gone back since.
    async fn next_id(&self) -> Result<DeploymentId, Refusal> {
        let newest = self.inner.world.journal.recent(None, 1).await.map_err(|e| unavailable(&e))?;
        Ok(DeploymentId::after(newest.first().copied()))
    }

    /// A request that does not wait is refused while another daemon deploys the service. Other trouble
    /// with the lease is met again, and judged, by the steps that need it.
    async fn claim(&self, request: &Request) -> Result<(), Refusal> {
        if request.on_busy != OnBusy::Refuse {
            return Ok(());
        }
        match self.inner.world.leases.take(request.service()).await {
            Err(error) if error.trouble == Trouble::Superseded => Err(Refusal {
                remedy: Some(
                    "wait for it there, or use --on-busy wait: then it is waited for here"
                        .to_owned(),
                ),
                ..unavailable(&error)
            }),
            _ => Ok(()),
        }
    }

    async fn check_sequence(&self, request: &Request) -> Result<(), Refusal> {
        let Some(sequence) = request.sequence else { return Ok(()) };
        let journal = &*self.inner.world.journal;
        let highest =
            history::sequence(journal, request.service()).await.map_err(|e| unavailable(&e))?;
        match highest {
            Some(highest) if sequence < highest => Err(refuse(
                RefusalKind::OutOfSequence,
                format!("sequence {sequence} is older than {highest}, which was accepted already"),
            )),
            _ => Ok(()),
        }
    }

    /// Deal with the deployments of the service that are under way.
    async fn make_way(
        &self,
        request: &Request,
        others: &[(DeploymentId, Active)],
    ) -> Result<(), Refusal> {
        let Some((first, _)) = others.first() else { return Ok(()) };
        for (id, other) in others {
            let newer =
                request.sequence > other.request.sequence && other.request.sequence.is_some();
            if newer || request.on_busy == OnBusy::Supersede {
                let message =
                    format!("superseded by a newer deployment, asked for by {}", request.by);
                let failure = outside(FailureKind::Superseded, message);
                // A runner that is gone has ended: nothing to supersede.
                let _ = other.commands.send(Command::Stop(failure)).await;
            } else if request.on_busy == OnBusy::Refuse {
                let service = request.service();
                let refusal = refuse(
                    RefusalKind::Busy,
                    format!("deployment {id} of `{service}` is under way"),
                );
                return Err(Refusal {
                    deployment: Some(*first),
                    remedy: Some(format!(
                        "wait for it (`verdigris logs {id} --follow`), or use --on-busy wait or supersede"
                    )),
                    ..refusal
                });
            }
        }
        Ok(())
    }

    fn launch(&self, id: DeploymentId, state: State, said: Vec<Event>) -> Arc<Feed> {
        let feed = Feed::new(id, said, self.inner.outlets.clone());
        let (commands, inbox) = mpsc::channel(8);
        let request = Arc::new(state.request.clone());
        let turns = self.turns(request.service());
        let (runner, standing) = Runner::new(
            id,
            state,
            self.inner.world.clone(),
            Arc::clone(&self.inner.ledger),
            Arc::clone(&feed),
            inbox,
            self.inner.shutdown.clone(),
        );
        let active = Active { request, feed: Arc::clone(&feed), commands, standing };
        lock(&self.inner.active).insert(id, active);
        // A free turn is taken here, not when the task is first polled: of the deployments that are
        // taken up after a restart, the one that was under way goes before those that waited for it.
        let turn = match Arc::clone(&turns.stage).try_lock_owned() {
            Ok(turn) => future::ready(turn).left_future(),
            Err(_) => Arc::clone(&turns.stage).lock_owned().right_future(),
        };
        let engine = self.clone();
        self.inner.tracker.spawn(async move {
            runner.run_in_turn(turn).await;
            engine.ended(id);
        });
        feed
    }

    fn ended(&self, id: DeploymentId) {
        if let Some(active) = lock(&self.inner.active).remove(&id) {
            active.feed.close();
        }
    }

    /// What `submit` of the same would do.
    pub async fn plan(&self, request: &Request) -> Result<Plan, Refusal> {
        let found = action::look(&self.inner.world, request).await.map_err(|e| unavailable(&e))?;
        Ok(plan(request, found))
    }

    /// Stop a deployment that has not begun to commit, and revert it.
    pub async fn abort(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        let reason = if why.is_empty() { String::new() } else { format!(": {why}") };
        let failure = outside(FailureKind::Aborted, format!("aborted by {by}{reason}"));
        self.stop(id, failure).await
    }

    /// Revert a deployment that waits for approval.
    pub async fn reject(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        self.must_wait(id).await?;
        let reason = if why.is_empty() { String::new() } else { format!(": {why}") };
        let failure = outside(FailureKind::Approval, format!("rejected by {by}{reason}"));
        self.stop(id, Failure { step: Step::Approve, ..failure }).await
    }

    /// Let a deployment that waits for approval go on.
    pub async fn approve(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        let active = self.must_wait(id).await?;
        self.tell(id, &active, Command::Approve(by.to_owned())).await
    }

    /// Take up a stuck deployment again.
    pub async fn retry(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        let active = self.must_be_active(id).await?;
        if !active.standing.borrow().stuck {
            return Err(wrong_state(id, "is not stuck"));
        }
        self.tell(id, &active, Command::Retry(by.to_owned())).await
    }

    async fn stop(&self, id: DeploymentId, failure: Failure) -> Result<(), Refusal> {
        let active = self.must_be_active(id).await?;
        let standing = active.standing.borrow().clone();
        if standing.past_stopping {
            return Err(wrong_state(id, "has committed: use `verdigris rollback` to go back"));
        }
        if standing.reverting {
            return Ok(());
        }
        self.tell(id, &active, Command::Stop(failure)).await
    }

    async fn must_wait(&self, id: DeploymentId) -> Result<Active, Refusal> {
        let active = self.must_be_active(id).await?;
        if active.standing.borrow().waiting {
            Ok(active)
        } else {
            Err(wrong_state(id, "does not wait for approval"))
        }
    }

    async fn must_be_active(&self, id: DeploymentId) -> Result<Active, Refusal> {
        if let Some(active) = lock(&self.inner.active).get(&id).cloned() {
            return Ok(active);
        }
        // Says that it is unknown, if it is.
        self.deployment(id).await?;
        Err(wrong_state(id, "has ended"))
    }

    async fn tell(
        &self,
        id: DeploymentId,
        active: &Active,
        command: Command,
    ) -> Result<(), Refusal> {
        active.commands.send(command).await.map_err(|_| wrong_state(id, "has just ended"))
    }

    /// One deployment.
    pub async fn deployment(&self, id: DeploymentId) -> Result<DeploymentView, Refusal> {
        let journal = self.inner.world.journal.read(id).await.map_err(|e| unavailable(&e))?;
        if journal.is_empty() {
            return Err(refuse(RefusalKind::Unknown, format!("there is no deployment {id}")));
        }
        view(id, &journal).map_err(|error| {
            refuse(RefusalKind::Internal, format!("the journal of {id} makes no sense: {error}"))
        })
    }

    /// The newest `limit` deployments, newest first; one whose journal makes no sense is left out.
    pub async fn history(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        let journal = &self.inner.world.journal;
        let ids = journal.recent(service, limit).await.map_err(|e| unavailable(&e))?;
        let mut views = Vec::with_capacity(ids.len());
        for id in ids {
            let entries: Vec<Journalled> = journal.read(id).await.map_err(|e| unavailable(&e))?;
            views.extend(view(id, &entries));
        }
        Ok(views)
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

    /// Whether `deployment` is under way.
    #[must_use]
    pub fn is_under_way(&self, deployment: DeploymentId) -> bool {
        lock(&self.inner.active).contains_key(&deployment)
    }

    /// Services with a deployment under way.
    #[must_use]
    pub fn busy(&self) -> Vec<ServiceName> {
        lock(&self.inner.active).values().map(|active| active.request.service().clone()).collect()
    }

    /// Everything that happened so far.
    pub async fn events(&self, id: DeploymentId) -> Result<Vec<Event>, Refusal> {
        let feed = lock(&self.inner.active).get(&id).map(|active| Arc::clone(&active.feed));
        if let Some(feed) = feed {
            return Ok(feed.so_far());
        }
        self.deployment(id).await?;
        self.inner.world.log.events(id).await.map_err(|e| unavailable(&e))
    }

    /// Everything after event `after`, then what happens, until the end.
    pub async fn follow(
        &self,
        id: DeploymentId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Event>, Refusal> {
        let feed = lock(&self.inner.active).get(&id).map(|active| Arc::clone(&active.feed));
        if let Some(feed) = feed {
            return Ok(feed.follow(after));
        }
        let view = self.deployment(id).await?;
        let mut events = self.inner.world.log.events(id).await.map_err(|e| unavailable(&e))?;
        events.extend(lost_end(&view, events.last()));
        let rest =
            events.into_iter().filter(move |event| after.is_none_or(|seen| event.seq > seen));
        Ok(stream::iter(rest).boxed())
    }

    /// Everything that happens from now on; a watcher that is too slow misses some.
    #[must_use]
    pub fn watch(&self) -> BoxStream<'static, Event> {
        let events = BroadcastStream::new(self.inner.outlets.everybody.subscribe());
        events.filter_map(|event| std::future::ready(event.ok())).boxed()
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

/// The end of a deployment whose daemon was killed when the journal had it and the log had not: whoever
/// follows would wait for it forever.
fn lost_end(view: &DeploymentView, last: Option<&Event>) -> Option<Event> {
    let told = last.is_some_and(|event| matches!(event.what, Happening::Ended { .. }));
    let outcome = view.outcome.clone().filter(|_| !told)?;
    Some(Event {
        seq: last.map_or(0, |event| event.seq + 1),
        at: view.ended.unwrap_or(view.opened),
        deployment: view.id,
        step: None,
        what: Happening::Ended { outcome },
    })
}

/// Hand events to the log, one after another.
async fn keep(log: Arc<dyn super::ports::EventLog>, mut said: mpsc::UnboundedReceiver<Event>) {
    while let Some(event) = said.recv().await {
        log.keep(&event).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn outside(kind: FailureKind, message: String) -> Failure {
    Failure { step: Step::Prepare, kind, message, details: Vec::new(), remedy: None }
}

fn refuse(kind: RefusalKind, message: impl Into<String>) -> Refusal {
    Refusal { kind, message: message.into(), details: Vec::new(), remedy: None, deployment: None }
}

fn wrong_state(id: DeploymentId, what: &str) -> Refusal {
    let refusal = refuse(RefusalKind::WrongState, format!("deployment {id} {what}"));
    Refusal { deployment: Some(id), ..refusal }
}

/// The refusal that a port's error makes.
#[must_use]
pub fn unavailable(error: &PortError) -> Refusal {
    let kind = match error.trouble {
        Trouble::Unreachable => RefusalKind::Unreachable,
        Trouble::NotFound | Trouble::Denied | Trouble::Invalid => RefusalKind::Invalid,
        Trouble::Superseded => RefusalKind::Busy,
        Trouble::Conflict | Trouble::Other => RefusalKind::Internal,
    };
    Refusal {
        kind,
        message: error.chain(),
        details: error.details.clone(),
        remedy: error.remedy.clone(),
        deployment: None,
    }
}
