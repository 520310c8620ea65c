//! The flow, decided in pure code: a deployment's state is a fold of its journal, and from the state
//! follows what is to be done next. The engine only carries it out; recovery is the same fold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::record::{Journalled, Prepared, Record, StepResult};
use super::stopwatch::between;
use crate::model::{Failure, Instance, Kind, Outcome, Policy, Request, Step};

/// How far one step has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// It may have acted.
    Began,
    /// It has done its work.
    Done(Box<StepResult>),
    /// It failed; it may have acted.
    Failed,
    /// Its undo may have acted.
    Undoing,
    /// It left no trace.
    Undone,
}

/// A deployment, as its journal tells it.
#[derive(Debug, Clone)]
pub struct State {
    /// What was asked for.
    pub request: Request,
    /// When.
    pub opened: Timestamp,
    /// Steps that began, with their progress.
    pub steps: BTreeMap<Step, Progress>,
    /// Why it is being reverted, if it is.
    pub failure: Option<Failure>,
    /// Another daemon has taken the service over.
    pub taken_over: bool,
    /// When it was first seen to wait for approval, by an earlier life's clock.
    pub asked: Option<Timestamp>,
    /// When that wait was over.
    pub answered: Option<Timestamp>,
    /// Who approved it.
    pub approved: Option<String>,
    /// What could not be undone or finished, while that is so.
    pub stuck: Option<Failure>,
    /// Its end.
    pub ended: Option<Outcome>,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Begin these steps, side by side.
    Act(Vec<Step>),
    /// Steps are under way: wait for one of them.
    Wait,
    /// Undo this step.
    Undo(Step),
    /// Record the end.
    End(Outcome),
    /// Nothing: it has ended.
    Finished,
}

/// The journal holds something that cannot have happened.
#[derive(Debug, thiserror::Error)]
pub enum IllegalRecord {
    /// The first record is not the opening.
    #[error("the journal does not start with the deployment's request")]
    NotOpened,
    /// A record stands where it cannot.
    #[error("record {seq} of the journal cannot follow what stands before it: {why}")]
    OutOfPlace {
        /// Which.
        seq: u64,
        /// Why.
        why: String,
    },
}

/// The steps that must be done before `step` may begin.
#[must_use]
pub fn after(step: Step) -> &'static [Step] {
    match step {
        Step::Prepare => &[],
        Step::PreDeployment => &[Step::Prepare],
        Step::Start => &[Step::PreDeployment],
        Step::Await => &[Step::Start],
        // The three are independent of each other.
        Step::Register | Step::Stage | Step::PreIntegration => &[Step::Await],
        Step::Approve => &[Step::Register, Step::Stage, Step::PreIntegration],
        Step::Switch => &[Step::Approve],
        Step::PostIntegration => &[Step::Switch],
        Step::Bake => &[Step::PostIntegration],
        Step::Commit => &[Step::Bake],
        Step::Drain => &[Step::Commit],
        Step::Retire => &[Step::Drain],
    }
}

/// Whether `step` can leave something behind that its undo takes away.
#[must_use]
pub fn leaves_traces(step: Step) -> bool {
    match step {
        Step::PreDeployment
        | Step::Start
        | Step::Register
        | Step::Stage
        | Step::PreIntegration
        | Step::Switch
        | Step::PostIntegration
        | Step::Commit => true,
        Step::Prepare | Step::Await | Step::Approve | Step::Bake | Step::Drain | Step::Retire => {
            false
        }
    }
}

impl State {
    /// Fold a journal.
    pub fn replay(journal: &[Journalled]) -> Result<Self, IllegalRecord> {
        let (first, rest) = journal.split_first().ok_or(IllegalRecord::NotOpened)?;
        let mut state = Self::open(first).ok_or(IllegalRecord::NotOpened)?;
        for entry in rest {
            state
                .apply(&entry.record)
                .map_err(|why| IllegalRecord::OutOfPlace { seq: entry.seq, why })?;
            state.time(entry);
        }
        Ok(state)
    }

    /// The state after the opening record; none if `entry` is another one.
    #[must_use]
    pub fn open(entry: &Journalled) -> Option<Self> {
        let Record::Opened { request } = &entry.record else { return None };
        Some(Self {
            request: (**request).clone(),
            opened: entry.at,
            steps: BTreeMap::new(),
            failure: None,
            taken_over: false,
            asked: None,
            answered: None,
            approved: None,
            stuck: None,
            ended: None,
        })
    }

    /// Note when it began to wait for a person, and until when it did.
    fn time(&mut self, entry: &Journalled) {
        match (&entry.record, self.asked) {
            (Record::Began { step: Step::Approve }, None) => self.asked = Some(entry.at),
            (Record::Began { .. }, _) | (_, None) => {}
            _ => drop(self.answered.get_or_insert(entry.at)),
        }
    }

    /// Take in one more record; the error says why it cannot stand here.
    pub fn apply(&mut self, record: &Record) -> Result<(), String> {
        if self.ended.is_some() {
            return Err("the deployment has ended".to_owned());
        }
        match record {
            Record::Opened { .. } => return Err("it was opened before".to_owned()),
            Record::Began { step } => self.begin(*step)?,
            Record::Done { step, result } => self.finish(*step, result)?,
            Record::Failed { failure } => self.fail(failure)?,
            Record::Stopped { failure } => self.stop(failure)?,
            Record::TakenOver { failure } => self.lose(failure),
            Record::Undoing { step } => self.undo(*step, Progress::Undoing)?,
            Record::Undone { step } => self.undo(*step, Progress::Undone)?,
            Record::Stuck { problem } => self.stuck = Some(problem.clone()),
            Record::Retried { .. } => self.stuck = None,
            Record::Approved { by } => self.approved = Some(by.clone()),
            Record::Ended { outcome } => self.ended = Some(outcome.clone()),
        }
        Ok(())
    }

    fn begin(&mut self, step: Step) -> Result<(), String> {
        if self.reverting() {
            return Err(format!("`{step}` cannot begin while the deployment is being reverted"));
        }
        if let Some(missing) = after(step).iter().find(|before| !self.is_done(**before)) {
            return Err(format!("`{step}` cannot begin before `{missing}` is done"));
        }
        if self.is_done(step) {
            return Err(format!("`{step}` was done before"));
        }
        self.steps.insert(step, Progress::Began);
        Ok(())
    }

    fn finish(&mut self, step: Step, result: &StepResult) -> Result<(), String> {
        let skipped = matches!(result, StepResult::Skipped { .. });
        if skipped {
            self.begin(step)?;
        }
        match self.steps.get(&step) {
            Some(Progress::Began | Progress::Failed) => {}
            _ => return Err(format!("`{step}` is not under way")),
        }
        self.stuck = None;
        self.steps.insert(step, Progress::Done(Box::new(result.clone())));
        Ok(())
    }

    fn fail(&mut self, failure: &Failure) -> Result<(), String> {
        if self.steps.get(&failure.step) != Some(&Progress::Began) {
            return Err(format!("`{}` is not under way", failure.step));
        }
        self.steps.insert(failure.step, Progress::Failed);
        self.stop(failure)
    }

    fn stop(&mut self, failure: &Failure) -> Result<(), String> {
        if self.committed() {
            return Err("the deployment has committed".to_owned());
        }
        self.failure.get_or_insert_with(|| failure.clone());
        Ok(())
    }

    /// What it did, and has not undone, belongs to the daemon that has the service now.
    fn lose(&mut self, failure: &Failure) {
        self.taken_over = true;
        self.stuck = None;
        self.failure.get_or_insert_with(|| failure.clone());
    }

    fn undo(&mut self, step: Step, progress: Progress) -> Result<(), String> {
        if !self.reverting() {
            return Err(format!("`{step}` cannot be undone: nothing has failed"));
        }
        if !self.steps.contains_key(&step) {
            return Err(format!("`{step}` never began"));
        }
        if progress == Progress::Undone {
            self.stuck = None;
        }
        self.steps.insert(step, progress);
        Ok(())
    }

    /// What is to be done next, while `running` are under way.
    #[must_use]
    pub fn decide(&self, running: &BTreeSet<Step>) -> Decision {
        if self.ended.is_some() {
            return Decision::Finished;
        }
        if self.unchanged() {
            return Decision::End(Outcome::Unchanged);
        }
        if self.taken_over && !running.is_empty() {
            return Decision::Wait;
        }
        match &self.failure {
            _ if self.taken_over && self.committed() => Decision::End(Outcome::Committed),
            Some(failure) if !self.committed() => self.decide_revert(failure, running),
            _ => self.decide_forward(running),
        }
    }

    fn decide_revert(&self, failure: &Failure, running: &BTreeSet<Step>) -> Decision {
        if !running.is_empty() {
            return Decision::Wait;
        }
        match self.to_undo().next() {
            Some(step) if !self.taken_over => Decision::Undo(step),
            _ => Decision::End(Outcome::Reverted { failure: failure.clone() }),
        }
    }

    /// The steps that have to be undone still, in the order in which they are.
    fn to_undo(&self) -> impl Iterator<Item = Step> {
        let traces = self.steps.iter().rev().filter(|(step, progress)| {
            leaves_traces(**step) && **progress != Progress::Undone && !skipped(progress)
        });
        traces.map(|(step, _)| *step)
    }

    /// What has to be undone or done still before the end, in that order.
    #[must_use]
    pub fn left(&self) -> Vec<Step> {
        if self.reverting() {
            return self.to_undo().collect();
        }
        Step::ALL.into_iter().filter(|step| !self.is_done(*step)).collect()
    }

    fn decide_forward(&self, running: &BTreeSet<Step>) -> Decision {
        let ready: Vec<Step> = Step::ALL
            .into_iter()
            .filter(|step| !self.is_done(*step) && !running.contains(step))
            .filter(|step| after(*step).iter().all(|before| self.is_done(*before)))
            .collect();
        if !ready.is_empty() {
            Decision::Act(ready)
        } else if running.is_empty() {
            Decision::End(Outcome::Committed)
        } else {
            Decision::Wait
        }
    }

    /// The step has done its work.
    #[must_use]
    pub fn is_done(&self, step: Step) -> bool {
        matches!(self.steps.get(&step), Some(Progress::Done(_)))
    }

    /// The point of no return is behind it.
    #[must_use]
    pub fn committed(&self) -> bool {
        self.is_done(Step::Commit)
    }

    /// It is being undone.
    #[must_use]
    pub fn reverting(&self) -> bool {
        self.failure.is_some() && !self.committed()
    }

    /// The commit may have begun to act: from here on only its failure can revert the deployment.
    #[must_use]
    pub fn past_stopping(&self) -> bool {
        self.steps.contains_key(&Step::Commit)
    }

    /// What `step` left, if it is done.
    #[must_use]
    pub fn result(&self, step: Step) -> Option<&StepResult> {
        match self.steps.get(&step) {
            Some(Progress::Done(result)) => Some(result),
            _ => None,
        }
    }

    fn unchanged(&self) -> bool {
        matches!(self.result(Step::Prepare), Some(StepResult::Unchanged))
    }

    /// What prepare decided.
    #[must_use]
    pub fn prepared(&self) -> Option<&Prepared> {
        match self.result(Step::Prepare) {
            Some(StepResult::Prepared(prepared)) => Some(prepared),
            _ => None,
        }
    }

    /// The new instances, where they were last seen.
    #[must_use]
    pub fn instances(&self) -> &[Instance] {
        match (self.result(Step::Switch), self.result(Step::Await)) {
            (Some(StepResult::Switched { moved: Some(instances), .. }), _)
            | (_, Some(StepResult::Running { instances })) => instances,
            _ => &[],
        }
    }

    /// Whether something took its time since the new instances were seen, so that Swarm may have put
    /// one of them elsewhere.
    #[must_use]
    pub fn may_have_moved(&self) -> bool {
        [Step::PreIntegration, Step::Approve]
            .into_iter()
            .filter_map(|step| self.result(step))
            .any(|result| !matches!(result, StepResult::Skipped { .. }))
    }

    /// How it is deployed; none before a rollback knows its release.
    #[must_use]
    pub fn policy(&self) -> Option<&Policy> {
        match (&self.request.kind, self.prepared()) {
            (_, Some(prepared)) => Some(&prepared.release.policy),
            (Kind::Deploy { draft }, None) => Some(&draft.policy),
            (Kind::Rollback { .. }, None) => None,
        }
    }

    /// How long it may take until the commit. The time that a person takes to approve it does not
    /// count: that has a limit of its own.
    #[must_use]
    pub fn allowed(&self) -> Duration {
        self.request
            .deadline
            .or_else(|| self.policy().map(|policy| policy.deadline))
            .unwrap_or(DEFAULT_DEADLINE)
    }

    /// How long it has waited for a person, as its journal and the wall clock tell.
    #[must_use]
    pub fn waited(&self, now: Timestamp) -> Duration {
        self.asked.map_or(Duration::ZERO, |asked| between(asked, self.answered.unwrap_or(now)))
    }

    /// When it reverts by itself if it has not committed, as far as that is known now: later by as long
    /// as a person takes to approve it.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        let waited = self.answered.map_or(Duration::ZERO, |answered| self.waited(answered));
        let allowed = self.allowed().saturating_add(waited);
        SignedDuration::try_from(allowed)
            .ok()
            .and_then(|allowed| self.opened.checked_add(allowed).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// Why `step` need not act, if so.
    #[must_use]
    pub fn needless(&self, step: Step) -> Option<&'static str> {
        let prepared = self.prepared()?;
        let policy = &prepared.release.policy;
        let rollback = matches!(self.request.kind, Kind::Rollback { .. });
        if let Some(point) = step.gate_point() {
            return match (policy.gates.at(point).is_empty(), rollback) {
                (true, _) => Some("no gates"),
                (false, true) => Some("the release has passed its gates before"),
                (false, false) => None,
            };
        }
        match step {
            Step::Start if prepared.running => Some("the release still runs"),
            Step::Stage if policy.route.is_none() => Some("no route"),
            Step::Approve if rollback => Some("a person asked for the rollback"),
            Step::Approve if policy.approve.is_none() => Some("not asked for"),
            Step::Bake if rollback || policy.bake.is_none() => Some("not asked for"),
            Step::Drain | Step::Retire if prepared.live.is_none() => Some("no old colour"),
            _ => None,
        }
    }
}

/// For a rollback whose release is not known yet; the stack file's default.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(15 * 60);

fn skipped(progress: &Progress) -> bool {
    matches!(progress, Progress::Done(result) if matches!(**result, StepResult::Skipped { .. }))
}

#[cfg(test)]
mod tests;
