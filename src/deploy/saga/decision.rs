use std::collections::BTreeSet;

use super::{Progress, State, after, leaves_traces};
use crate::deploy::record::StepResult;
use crate::model::{Failure, Kind, Outcome, Step};

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

impl State {
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

    /// The steps that have to be undone still, in the order in which they are: last first, but gates after
    /// all others, since the public must not wait for a CI engine that is away.
    fn to_undo(&self) -> impl Iterator<Item = Step> {
        let traces = |gates: bool| {
            let steps = self.steps.iter().rev();
            let left = steps.filter(move |(step, progress)| {
                leaves_traces(**step)
                    && step.gate_point().is_some() == gates
                    && **progress != Progress::Undone
                    && !skipped(progress)
            });
            left.map(|(step, _)| *step)
        };
        traces(false).chain(traces(true))
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

    fn unchanged(&self) -> bool {
        matches!(self.result(Step::Prepare), Some(StepResult::Unchanged))
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
            Step::Await if !prepared.instances.is_empty() => Some("the release still runs"),
            Step::Stage if policy.route.is_none() => Some("no route"),
            Step::Register | Step::Stage if prepared.in_place => Some("in place already"),
            Step::Approve if rollback => Some("a person asked for the rollback"),
            Step::Approve if policy.approve.is_none() => Some("not asked for"),
            Step::Bake if rollback || policy.bake.is_none() => Some("not asked for"),
            Step::Drain | Step::Retire if prepared.live.is_none() => Some("no old colour"),
            _ => None,
        }
    }
}

fn skipped(progress: &Progress) -> bool {
    matches!(progress, Progress::Done(result) if matches!(**result, StepResult::Skipped { .. }))
}
