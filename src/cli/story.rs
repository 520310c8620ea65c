use jiff::Timestamp;

use crate::model::{Event, ExitCode, Failure, GateReport, Happening, Outcome, Step, StepState};

/// What is known of a deployment from its events so far.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// The steps that were reached, in the order in which they began.
    pub(super) chapters: Vec<Chapter>,
    /// What it waits for before its first step.
    pub(super) queued: Option<String>,
    /// What makes it fail.
    pub(super) failure: Option<Failure>,
    /// What cannot be undone or finished, while that is so.
    pub(super) stuck: Option<Failure>,
    /// Its end.
    pub(super) outcome: Option<Outcome>,
    /// How it stood when it was left before its end, and the exit code of that.
    pub(super) left: Option<(ExitCode, String)>,
}

/// What is known of one step.
#[derive(Debug)]
pub(super) struct Chapter {
    pub(super) step: Step,
    pub(super) state: StepState,
    pub(super) began: Timestamp,
    pub(super) ended: Option<Timestamp>,
    /// Its last words: progress while it runs, result or reason afterwards.
    pub(super) note: String,
    pub(super) failure: Option<Failure>,
    pub(super) gates: Vec<Verdict>,
}

/// What is known of one gate.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) gate: String,
    pub(super) done: bool,
    pub(super) millis: u64,
    pub(super) failure: Option<String>,
    pub(super) output: Vec<String>,
    pub(super) reports: Vec<GateReport>,
}

/// Of longer output the JUnit file holds this many of the last lines.
const OUTPUT_LINES: usize = 5000;

impl Story {
    /// `event` happened.
    pub(super) fn add(&mut self, event: &Event) {
        self.note_stuck(&event.what);
        if matches!(event.what, Happening::Undoing | Happening::Ended { .. }) {
            self.note_stopped(event.at);
        }
        match (&event.what, event.step) {
            (Happening::Stopped { failure }, _) => self.fail(failure),
            (Happening::Ended { outcome }, _) => {
                if let Outcome::Reverted { failure } = outcome {
                    self.fail(failure);
                }
                self.outcome = Some(outcome.clone());
            }
            (Happening::Failed { failure }, Some(step)) => {
                self.fail(failure);
                self.chapter(step, event.at).fail(failure, StepState::Failed, event.at);
            }
            (Happening::Stuck { problem }, Some(step)) => {
                self.chapter(step, event.at).fail(problem, StepState::Stuck, event.at);
            }
            (Happening::Note { text }, None) => self.queued = Some(text.clone()),
            (what, Some(step)) => self.chapter(step, event.at).add(what, event.at),
            _ => {}
        }
    }

    /// What is under way yet was stopped: nothing is undone before all steps have ended.
    fn note_stopped(&mut self, at: Timestamp) {
        for chapter in &mut self.chapters {
            if chapter.state == StepState::Running {
                chapter.end(StepState::Stopped, at);
            }
        }
    }

    /// As the daemon sees it, so that both say the same.
    fn note_stuck(&mut self, what: &Happening) {
        match what {
            Happening::Stuck { problem } => self.stuck = Some(problem.clone()),
            Happening::Done { .. }
            | Happening::Skipped { .. }
            | Happening::Undone
            | Happening::Stopped { .. }
            | Happening::Retried { .. }
            | Happening::Ended { .. } => self.stuck = None,
            _ => {}
        }
    }

    /// Its end, or being stuck, which is one until somebody helps.
    pub(super) fn verdict(&self) -> Option<Outcome> {
        let stuck = self.stuck.clone().map(|problem| {
            let failure = self.failure.clone().filter(|_| !self.is_committed());
            Outcome::Stuck { failure, problem }
        });
        self.outcome.clone().or(stuck)
    }

    /// The first reason counts; what comes later follows from it.
    fn fail(&mut self, failure: &Failure) {
        self.failure.get_or_insert_with(|| failure.clone());
    }

    fn chapter(&mut self, step: Step, at: Timestamp) -> &mut Chapter {
        let known = self.chapters.iter().position(|chapter| chapter.step == step);
        let index = known.unwrap_or_else(|| {
            self.chapters.push(Chapter::new(step, at));
            self.chapters.len() - 1
        });
        &mut self.chapters[index]
    }

    /// The point of no return has passed.
    pub(super) fn is_committed(&self) -> bool {
        self.steps_in(StepState::Done).any(|chapter| chapter.step == Step::Commit)
    }

    /// The commit has begun: only what it comes to can tell how the deployment ends.
    pub(super) fn is_committing(&self) -> bool {
        self.steps_in(StepState::Running).any(|chapter| chapter.step == Step::Commit)
    }

    /// The steps that are in `state`.
    pub(super) fn steps_in(&self, state: StepState) -> impl Iterator<Item = &Chapter> {
        self.chapters.iter().filter(move |chapter| chapter.state == state)
    }
}

impl Chapter {
    fn new(step: Step, began: Timestamp) -> Self {
        Self {
            step,
            state: StepState::Running,
            began,
            ended: None,
            note: String::new(),
            failure: None,
            gates: Vec::new(),
        }
    }

    fn fail(&mut self, failure: &Failure, state: StepState, at: Timestamp) {
        self.failure.get_or_insert_with(|| failure.clone());
        self.end(state, at);
    }

    fn end(&mut self, state: StepState, at: Timestamp) {
        self.state = state;
        self.ended.get_or_insert(at);
    }

    fn add(&mut self, what: &Happening, at: Timestamp) {
        match what {
            Happening::Began => {
                (self.state, self.began, self.ended) = (StepState::Running, at, None);
            }
            Happening::Done { note } => {
                self.note.clone_from(note);
                self.end(StepState::Done, at);
            }
            Happening::Skipped { why } => {
                self.note.clone_from(why);
                self.end(StepState::Skipped, at);
            }
            Happening::Undoing => self.state = StepState::Undoing,
            Happening::Undone => self.state = StepState::Undone,
            Happening::Note { text } => self.note.clone_from(text),
            Happening::Output { gate, line } => self.gate(gate).write(line),
            Happening::Gate { gate, millis, failure, junit } => {
                let verdict = self.gate(gate);
                verdict.done = true;
                verdict.millis = *millis;
                verdict.failure.clone_from(failure);
                verdict.reports.clone_from(junit);
            }
            _ => {}
        }
    }

    fn gate(&mut self, gate: &str) -> &mut Verdict {
        let known = self.gates.iter().position(|verdict| verdict.gate == gate);
        let index = known.unwrap_or_else(|| {
            self.gates.push(Verdict { gate: gate.to_owned(), ..Verdict::default() });
            self.gates.len() - 1
        });
        &mut self.gates[index]
    }

    /// How long it took, or has taken until `now`.
    pub(super) fn took(&self, now: Timestamp) -> std::time::Duration {
        let end = self.ended.unwrap_or(now);
        end.duration_since(self.began).try_into().unwrap_or_default()
    }
}

impl Verdict {
    fn write(&mut self, line: &str) {
        if self.output.len() == OUTPUT_LINES {
            self.output.remove(0);
        }
        self.output.push(line.to_owned());
    }
}
