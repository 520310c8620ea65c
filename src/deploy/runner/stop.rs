use std::time::Duration;

use super::Runner;
use crate::deploy::record::Record;
use crate::deploy::view::phase;
use crate::model::{Failure, FailureKind, Phase, Step};

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

impl Runner {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Stop(failure) => self.halt(failure),
            Command::Approve(by) => {
                self.note(Record::Approved { by });
                self.approved.send_replace(true);
            }
            // Being stuck is waited out elsewhere; here nothing is.
            Command::Retry(_) => {}
        }
    }

    pub(super) fn until_deadline(&self) -> Duration {
        self.stopwatch.left(self.state().allowed())
    }

    /// Whether the deadline's time is running: it stands still while a person decides, who has the
    /// approval's own time.
    pub(super) fn is_stoppable_by_time(&self) -> bool {
        self.is_stoppable() && phase(self.state()) != Phase::Waiting
    }

    pub(super) fn pass_deadline(&mut self) {
        let waiting = self.running.first().copied().unwrap_or(Step::Prepare);
        let step = self.running.last().copied().unwrap_or(waiting);
        self.halt(Failure {
            step,
            kind: FailureKind::Deadline,
            message: format!("the deadline passed during `{step}`"),
            details: Vec::new(),
            remedy: Some("see what took so long, or give it longer with --deadline".to_owned()),
        });
    }

    fn halt(&mut self, failure: Failure) {
        if self.is_stoppable() {
            self.note(Record::Stopped { failure });
            self.stop.cancel();
        }
    }

    /// Neither an abort nor the deadline means anything once it is being reverted or commits.
    fn is_stoppable(&self) -> bool {
        !self.state().reverting() && !self.state().past_stopping()
    }
}
