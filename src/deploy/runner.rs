//! Carries out one deployment: asks the saga what is next, does it, journals it, until the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder, Retryable};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::action::{self, Context};
use super::feed::Feed;
use super::ledger::Ledger;
use super::ports::{Leases, PortError, Trouble, World};
use super::record::{Journalled, Record, StepResult};
use super::saga::{Decision, Progress, State};
use super::standing::Standing;
use super::stopwatch::Stopwatch;
use super::view::{phase, told};
use crate::model::{
    DeploymentId, Failure, FailureKind, Happening, Outcome, Phase, Request, ServiceName, Step,
};

/// What a person or a newer deployment tells a running one.
#[derive(Debug)]
pub enum Command {
    /// Stop and revert.
    Stop(Failure),
    /// Go on after the approval.
    Approve(String),
    /// Take up again what is stuck.
    Retry(String),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// At an end of the flow.
    Reached(Outcome),
    /// The daemon shuts down; the next start takes it up where it stands.
    Parked,
}

/// One deployment under way.
pub struct Runner {
    id: DeploymentId,
    state: State,
    world: World,
    ledger: Arc<Ledger>,
    feed: Arc<Feed>,
    commands: mpsc::Receiver<Command>,
    /// The daemon shuts down.
    shutdown: CancellationToken,
    /// Steps under way are to stop.
    stop: CancellationToken,
    approved: watch::Sender<bool>,
    running: BTreeSet<Step>,
    tasks: JoinSet<(Step, Result<StepResult, Failure>)>,
    standing: watch::Sender<Standing>,
    /// What has gone of the deadline's time.
    stopwatch: Stopwatch,
}

/// Between two looks whether another daemon has given the service back.
const LEASE_RETRY: Duration = Duration::from_secs(1);

/// How long giving the lease back may take: a registry that is away must not hold up what follows.
const LEAVE: Duration = Duration::from_secs(2);

/// Retries of an undo, or of a step after the commit, before it counts as stuck: about ten seconds.
fn persistently() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(9)
}

/// How long a stuck deployment waits before it looks whether the cause is gone.
const STUCK_RETRY: Duration = Duration::from_secs(10);

/// Between two tries to append to a journal that refuses.
const JOURNAL_RETRY: Duration = Duration::from_millis(500);

impl Runner {
    /// A runner for the deployment whose journal gave `state`.
    #[must_use]
    pub fn new(
        id: DeploymentId,
        state: State,
        world: World,
        ledger: Arc<Ledger>,
        feed: Arc<Feed>,
        commands: mpsc::Receiver<Command>,
        shutdown: CancellationToken,
    ) -> (Self, watch::Receiver<Standing>) {
        let (approved, _) = watch::channel(state.approved.is_some());
        let (standing, seen) = watch::channel(Standing::of(&state));
        let stopwatch = stopwatch(&state, world.clock.now());
        let runner = Self {
            id,
            state,
            world,
            ledger,
            feed,
            commands,
            shutdown,
            stop: CancellationToken::new(),
            approved,
            running: BTreeSet::new(),
            tasks: JoinSet::new(),
            standing,
            stopwatch,
        };
        (runner, seen)
    }

    /// Wait for the turn, here and among the daemons, then run to an end.
    pub async fn run_in_turn<T>(mut self, turn: impl Future<Output = T>) -> End {
        let standing = self.standing.clone();
        let turn = self.wait_for(turn).await;
        if turn.is_some() {
            let service = self.state.request.service().clone();
            let lease = lease(Arc::clone(&self.world.leases), service, Arc::clone(&self.feed));
            self.wait_for(lease).await;
        }
        let (leases, service) =
            (Arc::clone(&self.world.leases), self.state.request.service().clone());
        let end = if self.shutdown.is_cancelled() { End::Parked } else { self.run().await };
        // Before the turn passes on, so that the next one cannot lose what it has just taken.
        if turn.is_some() {
            let left = leases.leave(&service, end == End::Parked);
            let _ = tokio::time::timeout(LEAVE, left).await;
        }
        standing.send_modify(|standing| standing.left = true);
        end
    }

    /// Wait until `turn` comes (another deployment of the service is under way); what is told
    /// meanwhile is obeyed. Answers whether to go on.
    async fn wait_for<T>(&mut self, turn: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(turn);
        loop {
            // One that was stopped before it began has nothing to undo; any other needs its turn for that.
            if self.state.failure.is_some() && self.state.steps.is_empty() {
                return None;
            }
            let deadline = self.until_deadline();
            let stoppable = self.is_stoppable_by_time();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                Some(command) = self.commands.recv() => self.obey(command).await,
                () = tokio::time::sleep(deadline), if stoppable => self.pass_deadline().await,
                turn = &mut turn => return Some(turn),
            }
        }
    }

    /// Run to an end.
    async fn run(mut self) -> End {
        loop {
            match self.state.decide(&self.running) {
                Decision::Act(_) | Decision::Undo(_) if self.shutdown.is_cancelled() => {
                    if self.running.is_empty() {
                        return End::Parked;
                    }
                    self.wait().await;
                }
                Decision::Act(steps) => {
                    for step in steps {
                        self.begin(step).await;
                    }
                }
                Decision::Wait => self.wait().await,
                Decision::Undo(step) => self.undo(step).await,
                Decision::End(outcome) => self.record(Record::Ended { outcome }).await,
                Decision::Finished => {
                    let outcome = self.state.ended.clone().unwrap_or(Outcome::Committed);
                    return End::Reached(outcome);
                }
            }
        }
    }

    async fn begin(&mut self, step: Step) {
        if let Some(why) = self.state.needless(step) {
            let result = StepResult::Skipped { why: why.to_owned() };
            return self.record(Record::Done { step, result: Box::new(result) }).await;
        }
        // As with an undo: a step that is stuck and tried again is still the same intent.
        let again = self.state.steps.get(&step) == Some(&Progress::Began);
        if !(again && self.state.stuck.is_some()) {
            self.record(Record::Began { step }).await;
        }
        let context = self.context();
        let committed = self.state.committed();
        self.running.insert(step);
        self.tasks.spawn(async move {
            let result = if committed {
                insist(&context, step).await
            } else {
                action::perform(&context, step).await
            };
            (step, result)
        });
    }

    fn context(&self) -> Context {
        Context {
            id: self.id,
            state: Arc::new(self.state.clone()),
            world: self.world.clone(),
            ledger: Arc::clone(&self.ledger),
            feed: Arc::clone(&self.feed),
            stop: self.stop.clone(),
            approved: self.approved.subscribe(),
        }
    }

    /// Wait for the next thing that happens.
    async fn wait(&mut self) {
        let deadline = self.until_deadline();
        let stoppable = self.is_stoppable_by_time();
        let stopping = self.stop.is_cancelled();
        tokio::select! {
            biased;
            Some(ended) = self.tasks.join_next() => self.take_in(ended).await,
            Some(command) = self.commands.recv() => self.obey(command).await,
            () = tokio::time::sleep(deadline), if stoppable => self.pass_deadline().await,
            () = self.shutdown.cancelled(), if !stopping => self.stop.cancel(),
        }
    }

    async fn take_in(&mut self, ended: Result<(Step, Result<StepResult, Failure>), JoinError>) {
        match ended {
            Ok((step, Ok(result))) => {
                self.running.remove(&step);
                self.record(Record::Done { step, result: Box::new(result) }).await;
            }
            // It was told to stop, and why stands in the journal, or the next start goes on with it.
            Ok((step, Err(_))) if self.stop.is_cancelled() => {
                self.running.remove(&step);
            }
            Ok((step, Err(failure))) if failure.kind == FailureKind::Superseded => {
                self.running.remove(&step);
                self.give_up(failure).await;
            }
            Ok((step, Err(failure))) if self.state.committed() => {
                self.be_stuck(failure).await;
                self.running.remove(&step);
            }
            Ok((step, Err(failure))) => {
                self.running.remove(&step);
                self.record(Record::Failed { failure }).await;
                self.stop.cancel();
            }
            Err(defect) => self.take_in_defect(&defect).await,
        }
    }

    /// Another daemon has the service: nothing is done any more, and nothing undone, since what is there
    /// now is that one's.
    async fn give_up(&mut self, failure: Failure) {
        let remedy = "what is live is what the other daemon made so; run one daemon per service";
        let failure = Failure { remedy: Some(remedy.to_owned()), ..failure };
        self.record(Record::TakenOver { failure }).await;
        self.stop.cancel();
    }

    /// A step panicked. That is a defect, and a defect before the commit is reverted like any failure.
    async fn take_in_defect(&mut self, defect: &JoinError) {
        tracing::error!(deployment = %self.id, error = %defect, "a step broke down");
        let broken = std::mem::take(&mut self.running);
        self.tasks.shutdown().await;
        let step = broken.first().copied().unwrap_or(Step::Prepare);
        let failure = Failure {
            step,
            kind: FailureKind::Internal,
            message: format!("`{step}` broke down: {defect}"),
            details: Vec::new(),
            remedy: Some("this is a defect of Verdigris: please report it".to_owned()),
        };
        if self.state.committed() {
            self.be_stuck(failure).await;
        } else {
            self.record(Record::Failed { failure }).await;
            self.stop.cancel();
        }
    }

    fn until_deadline(&self) -> Duration {
        self.stopwatch.left(self.state.allowed())
    }

    /// Whether the deadline's time is running: it stands still while a person decides, who has the
    /// approval's own time.
    fn is_stoppable_by_time(&self) -> bool {
        self.is_stoppable() && phase(&self.state) != Phase::Waiting
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Stop(failure) => self.halt(failure).await,
            Command::Approve(by) => {
                self.record(Record::Approved { by }).await;
                self.approved.send_replace(true);
            }
            // Being stuck is waited out elsewhere; here nothing is.
            Command::Retry(_) => {}
        }
    }

    /// Neither an abort nor the deadline means anything once it is being reverted or commits.
    fn is_stoppable(&self) -> bool {
        !self.state.reverting() && !self.state.past_stopping()
    }

    async fn pass_deadline(&mut self) {
        let waiting = self.running.first().copied().unwrap_or(Step::Prepare);
        let step = self.running.last().copied().unwrap_or(waiting);
        let failure = Failure {
            step,
            kind: FailureKind::Deadline,
            message: format!("the deadline passed during `{step}`"),
            details: Vec::new(),
            remedy: Some("see what took so long, or give it longer with --deadline".to_owned()),
        };
        self.halt(failure).await;
    }

    async fn halt(&mut self, failure: Failure) {
        if !self.is_stoppable() {
            return;
        }
        self.record(Record::Stopped { failure }).await;
        self.stop.cancel();
    }

    async fn undo(&mut self, step: Step) {
        // Tried again and again while it is stuck, it is still the same intent: the journal must not
        // grow with it.
        if self.state.steps.get(&step) != Some(&Progress::Undoing) {
            self.record(Record::Undoing { step }).await;
        }
        let context = self.context();
        let undone = (|| action::undo(&context, step)).retry(persistently()).when(passing).await;
        match undone {
            Ok(()) => self.record(Record::Undone { step }).await,
            Err(error) if error.trouble == Trouble::Superseded => {
                self.give_up(action::failed(step, &error)).await;
            }
            Err(error) => self.be_stuck(action::failed(step, &error)).await,
        }
    }

    /// Say so, then wait for a person, or a while, before the loop tries the same again.
    async fn be_stuck(&mut self, problem: Failure) {
        let problem = self.with_what_is_left(problem);
        if self.state.stuck.as_ref() != Some(&problem) {
            self.record(Record::Stuck { problem }).await;
        }
        let again = tokio::time::sleep(STUCK_RETRY);
        tokio::pin!(again);
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = &mut again => return,
                Some(command) = self.commands.recv() => {
                    if let Command::Retry(by) = command {
                        return self.record(Record::Retried { by }).await;
                    }
                }
            }
        }
    }

    /// `problem` with what is left to do.
    fn with_what_is_left(&self, mut problem: Failure) -> Failure {
        let left: Vec<&str> = self.state.left().into_iter().map(Step::as_str).collect();
        let what = if self.state.reverting() { "undone" } else { "done" };
        problem.details.push(format!("still to be {what}: {}", left.join(", ")));
        problem
    }

    /// Journal `record`, then take it in. Nothing goes on while the journal refuses.
    async fn record(&mut self, record: Record) {
        let mut said = false;
        while let Err(error) = self.world.journal.append(self.id, &record).await {
            if !said {
                tracing::error!(deployment = %self.id, error = error.chain(), "the journal refuses");
                said = true;
            }
            tokio::time::sleep(JOURNAL_RETRY).await;
        }
        if let Err(why) = self.state.apply(&record) {
            tracing::error!(deployment = %self.id, why, "an illegal record was journalled");
        }
        self.stopwatch.set_going(phase(&self.state) != Phase::Waiting);
        self.standing.send_replace(Standing::of(&self.state));
        let (step, what) = told(&record);
        self.feed.say(step, what);
        super::failpoint::passed();
    }
}

/// Wait while another daemon has the service. Any other trouble is left to the steps that need the
/// lease: they meet it again, and what they make of it is the rule.
async fn lease(leases: Arc<dyn Leases>, service: ServiceName, feed: Arc<Feed>) {
    let mut said = false;
    while let Err(error) = leases.take(&service).await {
        if error.trouble != Trouble::Superseded {
            return;
        }
        if !said {
            feed.say(None, Happening::Note { text: format!("waits: {}", error.chain()) });
            said = true;
        }
        tokio::time::sleep(LEASE_RETRY).await;
    }
}

/// How long the deployment has been under way, without the time that a person took to approve it.
fn stopwatch(state: &State, now: Timestamp) -> Stopwatch {
    let mut stopwatch = Stopwatch::going(state.opened, now, state.waited(now), state.allowed());
    stopwatch.set_going(phase(state) != Phase::Waiting);
    stopwatch
}

/// After the commit there is only forward: a step is tried again for a while before it is stuck.
async fn insist(context: &Context, step: Step) -> Result<StepResult, Failure> {
    let mut delays = persistently().build();
    loop {
        let failure = match action::perform(context, step).await {
            Ok(result) => return Ok(result),
            Err(failure) if failure.kind == FailureKind::Superseded => return Err(failure),
            Err(failure) => failure,
        };
        let Some(delay) = delays.next() else { return Err(failure) };
        tokio::select! {
            () = context.stop.cancelled() => return Err(failure),
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// Whether trying again may help.
fn passing(error: &PortError) -> bool {
    !matches!(error.trouble, Trouble::Denied | Trouble::Invalid | Trouble::Superseded)
}

/// The record that a deployment's journal starts with.
#[must_use]
pub fn opening(request: Request, at: Timestamp) -> Journalled {
    Journalled { seq: 0, at, record: Record::Opened { request: Box::new(request) } }
}
