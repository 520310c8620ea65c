//! The flow, decided in pure code: a deployment's state is a fold of its journal, and from the state
//! follows what is to be done next. The engine only carries it out; recovery is the same fold.

mod decision;
mod flow;
mod fold;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::record::{Prepared, StepResult};
use super::stopwatch::between;
use crate::model::{Failure, Instance, Kind, Outcome, Policy, Request, Step};

pub use decision::Decision;
pub use flow::{after, leaves_traces, only_looks};
pub use fold::IllegalRecord;

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
    /// An earlier life of the daemon did some of it, nobody knows how long ago.
    pub taken_up: bool,
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

impl State {
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

    /// The commit has begun. Whoever does not know that it has not acted yet, as its runner does, does not
    /// stop the deployment any more: only its failure reverts that.
    #[must_use]
    pub fn past_stopping(&self) -> bool {
        self.steps.contains_key(&Step::Commit)
    }

    /// The steps that have begun and have not ended.
    #[must_use]
    pub fn under_way(&self) -> Vec<Step> {
        let began = self.steps.iter().filter(|(_, progress)| **progress == Progress::Began);
        began.map(|(step, _)| *step).collect()
    }

    /// The step that it is at, the last of several; before the first begins, that one.
    #[must_use]
    pub fn at(&self) -> Step {
        let reached = || self.steps.keys().last().copied();
        self.under_way().last().copied().or_else(reached).unwrap_or(Step::Prepare)
    }

    /// What `step` left, if it is done.
    #[must_use]
    pub fn result(&self, step: Step) -> Option<&StepResult> {
        match self.steps.get(&step) {
            Some(Progress::Done(result)) => Some(result),
            _ => None,
        }
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
            _ => self.prepared().map_or(&[], |prepared| &prepared.instances),
        }
    }

    /// Whether something took its time since the new instances were seen, so that Swarm may have put
    /// one of them elsewhere.
    #[must_use]
    pub fn may_have_moved(&self) -> bool {
        let took_time = |step| {
            self.result(step).is_some_and(|result| !matches!(result, StepResult::Skipped { .. }))
        };
        self.taken_up || took_time(Step::PreIntegration) || took_time(Step::Approve)
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
}

/// For a rollback whose release is not known yet; the stack file's default.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(15 * 60);

#[cfg(test)]
mod tests;
