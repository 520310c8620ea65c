use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::story::{Chapter, Story};
use super::words::brief;
use crate::model::{DeploymentId, GatePoint, Policy, Step, StepState};

/// How long a deployment may take, as far as this client knows.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// When it reverts by itself if not committed.
    pub(super) deadline: Option<Timestamp>,
    /// What the stack file says of single steps.
    pub(super) policy: Option<Policy>,
}

impl Limits {
    fn of_step(&self, step: Step) -> Option<Duration> {
        let policy = self.policy.as_ref()?;
        match step {
            Step::Approve => policy.approve.as_ref().map(|approval| approval.expires),
            Step::Bake => policy.bake.as_ref().map(|bake| bake.duration),
            Step::Drain => Some(policy.drain),
            _ => longest_gate(policy, step.gate_point()?),
        }
    }

    /// When `chapter` is over at the latest: its own limit, or the deadline while that counts.
    fn end_of(&self, chapter: &Chapter, committed: bool) -> Option<Timestamp> {
        let own =
            self.of_step(chapter.step).and_then(|limit| chapter.began.checked_add(limit).ok());
        // While a person decides only the approval's own time runs.
        let counts = chapter.state == StepState::Running && chapter.step != Step::Approve;
        let deadline = self.deadline.filter(|_| !committed && counts);
        [own, deadline].into_iter().flatten().min()
    }
}

fn longest_gate(policy: &Policy, point: GatePoint) -> Option<Duration> {
    policy.gates.at(point).iter().map(|gate| gate.timeout).max()
}

/// What is awaited, and for how long still: the step it is about, and the words.
pub(super) fn waiting(
    story: &Story,
    limits: &Limits,
    id: DeploymentId,
    now: Timestamp,
) -> Vec<(Option<Step>, String)> {
    let open = story
        .chapters
        .iter()
        .filter(|chapter| matches!(chapter.state, StepState::Running | StepState::Undoing));
    let lines: Vec<_> = open
        .map(|chapter| {
            let end = limits.end_of(chapter, story.is_committed());
            (Some(chapter.step), describe(chapter, end, id, now))
        })
        .collect();
    if !lines.is_empty() {
        return lines;
    }
    let queued = story.queued.as_ref().filter(|_| story.chapters.is_empty());
    let mut line = queued.map_or("waiting for the daemon's next step", String::as_str).to_owned();
    if queued.is_some() {
        add_rest(&mut line, limits.deadline, now);
    }
    vec![(None, line)]
}

/// How long it may take still.
fn add_rest(line: &mut String, end: Option<Timestamp>, now: Timestamp) {
    let Some(end) = end else { return };
    let left: Duration = end.duration_since(now).try_into().unwrap_or_default();
    // Writing to a string cannot fail.
    let _ = write!(line, ", at most {} more", brief(left));
}

fn describe(chapter: &Chapter, end: Option<Timestamp>, id: DeploymentId, now: Timestamp) -> String {
    // Writing to a string cannot fail.
    let mut line = format!("still waiting for {}", awaited(chapter, id));
    if !chapter.note.is_empty() {
        let _ = write!(line, " ({})", chapter.note);
    }
    let _ = write!(line, ", {} so far", brief(chapter.took(now)));
    add_rest(&mut line, end, now);
    line
}

fn awaited(chapter: &Chapter, id: DeploymentId) -> String {
    if chapter.state == StepState::Undoing {
        return "this to be undone".to_owned();
    }
    let words = match chapter.step {
        Step::Prepare => "the image, the snapshot and the preflight",
        Step::PreDeployment | Step::PreIntegration | Step::PostIntegration => {
            return awaited_gates(chapter);
        }
        Step::Start => "the Swarm to take the service",
        Step::Await => "every replica to run and to stay healthy",
        Step::Register => "the registry",
        Step::Stage => "the proxies to stage the new instances",
        Step::Approve => return format!("approval: `verdigris approve {id}`"),
        Step::Switch => "the proxies to prove the new colour",
        Step::Bake => "the new colour to hold under public traffic",
        Step::Commit => "the record of the new live colour",
        Step::Drain => "requests on the old colour to end",
        Step::Retire => "the old colour to be retired",
    };
    words.to_owned()
}

fn awaited_gates(chapter: &Chapter) -> String {
    let open: Vec<String> = chapter
        .gates
        .iter()
        .filter(|verdict| !verdict.done)
        .map(|verdict| format!("`{}`", verdict.gate))
        .collect();
    match open.len() {
        0 => "gates".to_owned(),
        1 => format!("gate {}", open[0]),
        _ => format!("gates {}", open.join(", ")),
    }
}
