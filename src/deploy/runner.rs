//! Carries out one deployment: asks the saga what is next, journals the intent, does it, journals what
//! came of it, until the end.

mod persistence;
mod scribe;
mod stop;
mod trouble;
mod turn;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use self::scribe::Scribe;
use super::action::{self, Context, Tries};
use super::feed::Feed;
use super::ledger::Ledger;
use super::ports::{Trouble, World};
use super::record::{Journalled, Record, StepResult};
use super::saga::{Decision, Progress, State, only_looks};
use super::standing::Standing;
use super::stopwatch::Stopwatch;
use super::view::phase;
use crate::model::{DeploymentId, Failure, FailureKind, Outcome, Phase, Request, Step};

pub use stop::Command;

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
    scribe: Scribe,
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
    tries: Arc<Tries>,
    /// The commit may have begun to act, in this life or an earlier one: only its failure reverts the
    /// deployment then.
    commits: bool,
    /// A defect that was met, and is to be dealt with before anything else.
    defect: Option<Failure>,
}

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
        let commits = state.past_stopping();
        let journal = Arc::clone(&world.journal);
        let scribe =
            Scribe::new(id, state, journal, Arc::clone(&feed), standing.clone(), shutdown.clone());
        let runner = Self {
            id,
            scribe,
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
            tries: Arc::default(),
            commits,
            defect: None,
        };
        (runner, seen)
    }

    /// Run to an end.
    async fn run(mut self) -> End {
        loop {
            if let Some(defect) = self.defect.take() {
                self.break_down(defect).await;
            }
            match self.state().decide(&self.running) {
                Decision::Act(_) | Decision::Undo(_) if self.shutdown.is_cancelled() => {
                    // Saved or not: nothing is done any more, and the next start goes on from the journal.
                    let _ = self.scribe.save().await;
                    if self.running.is_empty() {
                        return End::Parked;
                    }
                    self.wait().await;
                }
                Decision::Act(steps) => self.act(steps).await,
                Decision::Wait => {
                    // What acts is awaited in any case.
                    let _ = self.scribe.save().await;
                    self.wait().await;
                }
                Decision::Undo(step) => self.undo(step).await,
                Decision::End(outcome) => self.note(Record::Ended { outcome }),
                Decision::Finished => {
                    if self.scribe.save().await.is_err() {
                        return End::Parked;
                    }
                    let outcome = self.state().ended.clone().unwrap_or(Outcome::Committed);
                    return End::Reached(outcome);
                }
            }
        }
    }

    fn state(&self) -> &State {
        self.scribe.state()
    }

    /// Note `record`, and what follows from it. One that makes no sense is a defect, not a fact.
    fn note(&mut self, record: Record) {
        if let Err(why) = self.scribe.note(record) {
            tracing::error!(deployment = %self.id, why, "a record that makes no sense is refused");
            let step = self.running.first().copied().unwrap_or(Step::Prepare);
            self.defect.get_or_insert(trouble::defect(
                step,
                format!("what happened makes no sense: {why}"),
            ));
        }
        self.stopwatch.set_going(phase(self.scribe.state()) != Phase::Waiting);
    }

    /// Note the steps that need not act; begin the others once it is clear that there are none of those,
    /// so that what follows from them begins, and is journalled, together with the rest.
    async fn act(&mut self, steps: Vec<Step>) {
        let needless = |step: &Step| Some((*step, self.state().needless(*step)?));
        let skipped: Vec<(Step, &str)> = steps.iter().filter_map(needless).collect();
        if skipped.is_empty() {
            return self.begin(steps).await;
        }
        for (step, why) in skipped {
            let result = StepResult::Skipped { why: why.to_owned() };
            self.note(Record::Done { step, result: Box::new(result) });
        }
    }

    async fn begin(&mut self, steps: Vec<Step>) {
        for step in &steps {
            // As with an undo: a step that is stuck and tried again is still the same intent.
            let again = self.state().steps.get(step) == Some(&Progress::Began);
            if !(again && self.state().stuck.is_some()) {
                self.note(Record::Began { step: *step });
                // One that was refused is never told, and nothing is begun then.
                if self.defect.is_none() {
                    self.feed.hold(*step);
                }
            }
        }
        if self.defect.is_some() {
            return;
        }
        // A look is harmless also when a crash forgets that it began: it is saved meanwhile, and what the
        // look says is told after that.
        let acts = !steps.iter().all(|step| only_looks(*step));
        if acts {
            if self.scribe.save().await.is_err() {
                return;
            }
            // That may have taken long, and nothing is done yet: what has come meanwhile counts.
            self.catch_up();
            if self.state().reverting() {
                return;
            }
        }
        self.commits |= steps.contains(&Step::Commit);
        let context = self.context();
        for step in steps {
            let context = context.clone();
            self.running.insert(step);
            self.tasks.spawn(async move { (step, persistence::perform(&context, step).await) });
        }
    }

    fn context(&self) -> Context {
        Context {
            id: self.id,
            state: Arc::new(self.state().clone()),
            world: self.world.clone(),
            ledger: Arc::clone(&self.ledger),
            feed: Arc::clone(&self.feed),
            stop: self.stop.clone(),
            shutdown: self.shutdown.clone(),
            tries: Arc::clone(&self.tries),
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
            Some(command) = self.commands.recv() => self.obey(command),
            () = tokio::time::sleep(deadline), if stoppable => self.pass_deadline(),
            () = self.shutdown.cancelled(), if !stopping => self.stop.cancel(),
        }
    }

    async fn take_in(&mut self, ended: Result<(Step, Result<StepResult, Failure>), JoinError>) {
        match ended {
            Ok((step, Ok(result))) => {
                self.running.remove(&step);
                self.note(Record::Done { step, result: Box::new(result) });
            }
            // It was told to stop, and why is noted, or the next start goes on with it.
            Ok((step, Err(_))) if self.stop.is_cancelled() => {
                self.running.remove(&step);
            }
            Ok((step, Err(failure))) if failure.kind == FailureKind::Superseded => {
                self.running.remove(&step);
                self.give_up(failure);
            }
            Ok((step, Err(failure))) if self.state().committed() => {
                self.be_stuck(failure).await;
                self.running.remove(&step);
            }
            Ok((step, Err(failure))) => {
                self.running.remove(&step);
                self.fail(failure);
            }
            Err(panic) => self.take_in_panic(&panic).await,
        }
    }

    async fn undo(&mut self, step: Step) {
        // Tried again and again while it is stuck, it is still the same intent: the journal must not
        // grow with it.
        if self.state().steps.get(&step) != Some(&Progress::Undoing) {
            self.note(Record::Undoing { step });
        }
        if self.defect.is_some() {
            return;
        }
        if self.scribe.save().await.is_err() {
            return;
        }
        match persistence::undo(&self.context(), step).await {
            Ok(()) => self.note(Record::Undone { step }),
            // It was cut short; the next start goes on with it.
            Err(error) if self.shutdown.is_cancelled() => {
                tracing::info!(deployment = %self.id, error = error.chain(), "left to the next start");
            }
            Err(error) if error.trouble == Trouble::Superseded => {
                self.give_up(action::failed(step, &error));
            }
            Err(error) => self.be_stuck(action::failed(step, &error)).await,
        }
    }
}

/// How long the deployment has been under way, without the time that a person took to approve it.
fn stopwatch(state: &State, now: Timestamp) -> Stopwatch {
    let mut stopwatch = Stopwatch::going(state.opened, now, state.waited(now), state.allowed());
    stopwatch.set_going(phase(state) != Phase::Waiting);
    stopwatch
}

/// The record that a deployment's journal starts with.
#[must_use]
pub fn opening(request: Request, at: Timestamp) -> Journalled {
    Journalled { seq: 0, at, record: Record::Opened { request: Box::new(request) } }
}
