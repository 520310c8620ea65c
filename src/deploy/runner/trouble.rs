use std::time::Duration;

use tokio::task::JoinError;

use super::{Command, Runner};
use crate::deploy::record::Record;
use crate::deploy::saga::Progress;
use crate::model::{Failure, FailureKind, Step};

/// How long a stuck deployment waits before it looks whether the cause is gone.
const STUCK_RETRY: Duration = Duration::from_secs(10);

impl Runner {
    pub(super) fn fail(&mut self, failure: Failure) {
        self.note(Record::Failed { failure });
        self.stop.cancel();
    }

    /// Another daemon has the service: nothing is done any more, and nothing undone, since what is there
    /// now is that one's.
    pub(super) fn give_up(&mut self, failure: Failure) {
        let remedy = "what is live is what the other daemon made so; run one daemon per service";
        let failure = Failure { remedy: Some(remedy.to_owned()), ..failure };
        self.note(Record::TakenOver { failure });
        self.stop.cancel();
    }

    /// A step panicked.
    pub(super) async fn take_in_panic(&mut self, panic: &JoinError) {
        tracing::error!(deployment = %self.id, error = %panic, "a step broke down");
        let broken = std::mem::take(&mut self.running);
        self.tasks.shutdown().await;
        let step = broken.first().copied().unwrap_or(Step::Prepare);
        self.defect = Some(defect(step, format!("`{step}` broke down: {panic}")));
    }

    /// A defect before the commit is reverted like any failure; where there is only one way left, that is
    /// taken up again after a while.
    pub(super) async fn break_down(&mut self, defect: Failure) {
        let began = self.state().steps.get(&defect.step) == Some(&Progress::Began);
        if began && !self.state().committed() {
            self.fail(defect);
        } else if self.state().committed() || self.state().reverting() {
            self.be_stuck(defect).await;
        } else {
            self.note(Record::Stopped { failure: defect });
            self.stop.cancel();
        }
    }

    /// Say so, then wait for a person, or a while, before the loop tries the same again.
    pub(super) async fn be_stuck(&mut self, problem: Failure) {
        let problem = self.with_what_is_left(problem);
        if self.state().stuck.as_ref() != Some(&problem) {
            self.note(Record::Stuck { problem });
        }
        if self.scribe.save().await.is_err() {
            return;
        }
        let again = tokio::time::sleep(STUCK_RETRY);
        tokio::pin!(again);
        loop {
            // What a person says is noted, also where it would have been tried again at that instant.
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                Some(command) = self.commands.recv() => {
                    if let Command::Retry(by) = command {
                        return self.note(Record::Retried { by });
                    }
                }
                () = &mut again => return,
            }
        }
    }

    /// `problem` with what is left to do.
    fn with_what_is_left(&self, mut problem: Failure) -> Failure {
        let left: Vec<&str> = self.state().left().into_iter().map(Step::as_str).collect();
        let what = if self.state().reverting() { "undone" } else { "done" };
        problem.details.push(format!("still to be {what}: {}", left.join(", ")));
        problem
    }
}

/// A defect that showed in `step`.
pub(super) fn defect(step: Step, message: String) -> Failure {
    let remedy = Some("this is a defect of Verdigris: please report it".to_owned());
    Failure { step, kind: FailureKind::Internal, message, details: Vec::new(), remedy }
}
