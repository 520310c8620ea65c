use std::collections::BTreeMap;

use super::{Progress, State, after};
use crate::deploy::record::{Journalled, Record, StepResult};
use crate::model::{Failure, Step};

/// The journal holds something that cannot have happened.
#[derive(Debug, thiserror::Error)]
pub enum IllegalRecord {
    /// The first record is not the opening.
    #[error("the journal does not start with the deployment's request")]
    NotOpened,
    /// What stood there is not known.
    #[error("record {seq} of the journal cannot be read: {problem}")]
    Unreadable {
        /// Which.
        seq: u64,
        /// Why.
        problem: String,
    },
    /// There is a hole.
    #[error("record {seq} of the journal is missing")]
    Missing {
        /// Which.
        seq: u64,
    },
    /// A record stands where it cannot.
    #[error("record {seq} of the journal cannot follow what stands before it: {why}")]
    OutOfPlace {
        /// Which.
        seq: u64,
        /// Why.
        why: String,
    },
}

impl State {
    /// Fold a journal. One with a hole is refused as a whole: whatever stands around it, what is missing
    /// may have been the intent to commit, or the order to stop.
    pub fn replay(journal: &[Journalled]) -> Result<Self, IllegalRecord> {
        whole(journal)?;
        let (first, rest) = journal.split_first().ok_or(IllegalRecord::NotOpened)?;
        let mut state = Self::open(first).ok_or(IllegalRecord::NotOpened)?;
        for entry in rest {
            state
                .apply(&entry.record)
                .map_err(|why| IllegalRecord::OutOfPlace { seq: entry.seq, why })?;
            state.time(entry);
        }
        state.taken_up = !state.steps.is_empty();
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
            taken_up: false,
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
            Record::Unreadable { problem } => return Err(problem.clone()),
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

    /// What it did, and has not undone, belongs to the daemon that has the service now. So it is not
    /// reverted, whatever had failed before.
    fn lose(&mut self, failure: &Failure) {
        self.taken_over = true;
        self.stuck = None;
        self.failure = Some(failure.clone());
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
}

/// Every record is there, in its place, and was read.
fn whole(journal: &[Journalled]) -> Result<(), IllegalRecord> {
    for (seq, entry) in (0..).zip(journal) {
        if entry.seq != seq {
            return Err(IllegalRecord::Missing { seq });
        }
        if let Record::Unreadable { problem } = &entry.record {
            return Err(IllegalRecord::Unreadable { seq, problem: problem.clone() });
        }
    }
    Ok(())
}
