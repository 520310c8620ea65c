use std::time::Duration;

use super::Runner;
use crate::deploy::record::Record;
use crate::deploy::view::phase;
use crate::model::{Failure, FailureKind, Phase, Step};

/// What a person or a newer deployment tells a running one.
#[derive(Debug)]
pub enum Command {
    /// Stop and revert. Which steps that meets is known only when it is obeyed.
    Stop {
        /// What stops it.
        kind: FailureKind,
        /// Why, in one line.
        message: String,
    },
    /// Go on after the approval.
    Approve(String),
    /// Take up again what is stuck.
    Retry(String),
}

impl Runner {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Stop { kind, message } => self.halt(kind, message, None),
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
        let message = format!("the deadline passed during `{}`", self.state().at());
        let remedy = "see what took so long, or give it longer with --deadline";
        self.halt(FailureKind::Deadline, message, Some(remedy.to_owned()));
    }

    fn halt(&mut self, kind: FailureKind, message: String, remedy: Option<String>) {
        if self.is_stoppable() {
            let (step, details) = (self.state().at(), met(&self.state().under_way()));
            self.note(Record::Stopped {
                failure: Failure { step, kind, message, details, remedy },
            });
            self.stop.cancel();
        }
    }

    /// Neither an abort nor the deadline means anything once it is being reverted or commits.
    fn is_stoppable(&self) -> bool {
        !self.state().reverting() && !self.commits
    }
}

/// What a stop met, where that is not the one step that it names.
fn met(under_way: &[Step]) -> Vec<String> {
    let steps: Vec<&str> = under_way.iter().map(|step| step.as_str()).collect();
    match steps[..] {
        [] => vec!["no step was under way".to_owned()],
        [_] => Vec::new(),
        _ => vec![format!("under way: {}", steps.join(", "))],
    }
}
