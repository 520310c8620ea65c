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

    /// Take in what was told while nobody listened, and the deadline if it has passed.
    pub(super) fn catch_up(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
        }
        if self.until_deadline().is_zero() && self.is_stoppable_by_time() {
            self.pass_deadline();
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
        let begun = self.state().steps.keys().last();
        let step = self.running.last().or(begun).copied().unwrap_or(Step::Prepare);
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
        !self.state().reverting() && !self.commits
    }
}
