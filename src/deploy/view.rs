//! A deployment's journal, told as clients are shown it. Pure.

use std::collections::BTreeMap;

use super::record::{Journalled, Record, StepResult};
use super::saga::{IllegalRecord, Progress, State};
use crate::model::{
    DeploymentId, DeploymentView, Happening, Kind, Outcome, Phase, Step, StepState, StepView,
};

/// The view of deployment `id` with this journal. It is kept of those that ended: where it tells the same
/// journal in another way, the form of summaries changes, too.
pub fn view(id: DeploymentId, journal: &[Journalled]) -> Result<DeploymentView, IllegalRecord> {
    let state = State::replay(journal)?;
    let mut steps = blank();
    let (mut switch_micros, mut stopped) = (None, None);
    for entry in journal {
        note_times(&mut steps, entry);
        if stops(&entry.record) {
            stopped.get_or_insert(entry.at);
        }
        if let Record::Done { result, .. } = &entry.record
            && let StepResult::Switched { micros, .. } = **result
        {
            switch_micros = Some(micros);
        }
    }
    for view in steps.values_mut() {
        view.state = step_state(&state, view.step);
        if view.state == StepState::Stopped {
            view.ended = view.ended.or(stopped);
        }
    }
    let prepared = state.prepared();
    Ok(DeploymentView {
        id,
        service: state.request.service().clone(),
        kind: match state.request.kind {
            Kind::Deploy { .. } => "deploy",
            Kind::Rollback { .. } => "rollback",
        }
        .to_owned(),
        by: state.request.by.clone(),
        sequence: state.request.sequence,
        opened: state.opened,
        ended: state.ended.as_ref().and(journal.last()).map(|last| last.at),
        phase: phase(&state),
        colour: prepared.map(|prepared| prepared.colour),
        previous: prepared.and_then(|prepared| prepared.live),
        release: prepared.map(|prepared| prepared.release.id.clone()),
        image: image(&state),
        steps: steps.into_values().collect(),
        failure: state.failure.clone(),
        outcome: outcome(&state),
        switch_micros,
        deadline: state.deadline(),
    })
}

fn image(state: &State) -> Option<String> {
    match (state.prepared(), &state.request.kind) {
        (Some(prepared), _) => Some(prepared.release.image.to_string()),
        (None, Kind::Deploy { draft }) => Some(draft.image.to_string()),
        (None, Kind::Rollback { .. }) => None,
    }
}

fn blank() -> BTreeMap<Step, StepView> {
    let view = |step| StepView { step, state: StepState::Pending, began: None, ended: None };
    Step::ALL.into_iter().map(|step| (step, view(step))).collect()
}

fn note_times(steps: &mut BTreeMap<Step, StepView>, entry: &Journalled) {
    let (step, begins) = match &entry.record {
        Record::Began { step } => (*step, true),
        Record::Done { step, .. } => (*step, false),
        Record::Failed { failure } => (failure.step, false),
        _ => return,
    };
    let Some(view) = steps.get_mut(&step) else { return };
    if begins {
        view.began.get_or_insert(entry.at);
    } else {
        view.ended = Some(entry.at);
    }
}

/// From here on what is under way is to end.
fn stops(record: &Record) -> bool {
    matches!(record, Record::Failed { .. } | Record::Stopped { .. } | Record::TakenOver { .. })
}

/// No step goes on any more: nothing is undone before all have ended.
fn is_over(state: &State) -> bool {
    let undone = |progress: &Progress| matches!(progress, Progress::Undoing | Progress::Undone);
    state.ended.is_some() || (state.reverting() && state.steps.values().any(undone))
}

fn step_state(state: &State, step: Step) -> StepState {
    if state.stuck.as_ref().is_some_and(|problem| problem.step == step) {
        return StepState::Stuck;
    }
    match state.steps.get(&step) {
        None => StepState::Pending,
        Some(Progress::Began) if is_over(state) => StepState::Stopped,
        Some(Progress::Began) => StepState::Running,
        Some(Progress::Done(result)) => match **result {
            StepResult::Skipped { .. } => StepState::Skipped,
            _ => StepState::Done,
        },
        Some(Progress::Failed) => StepState::Failed,
        Some(Progress::Undoing) => StepState::Undoing,
        Some(Progress::Undone) => StepState::Undone,
    }
}

/// Where the deployment stands as a whole.
#[must_use]
pub fn phase(state: &State) -> Phase {
    if state.ended.is_some() {
        Phase::Ended
    } else if state.committed() {
        Phase::Finishing
    } else if state.reverting() {
        Phase::Reverting
    } else if state.steps.get(&Step::Approve) == Some(&Progress::Began) && state.approved.is_none()
    {
        Phase::Waiting
    } else {
        Phase::Deploying
    }
}

/// The end, or being stuck, which is one until somebody helps.
fn outcome(state: &State) -> Option<Outcome> {
    let stuck = state.stuck.clone().map(|problem| {
        let failure = state.failure.clone().filter(|_| !state.committed());
        Outcome::Stuck { failure, problem }
    });
    state.ended.clone().or(stuck)
}

/// What is said when `record` was journalled, and about which step.
#[must_use]
pub fn told(record: &Record) -> (Option<Step>, Happening) {
    match record.clone() {
        Record::Opened { .. } => (None, Happening::Opened),
        Record::Began { step } => (Some(step), Happening::Began),
        Record::Done { step, result } => (Some(step), done(*result)),
        Record::Failed { failure } => (Some(failure.step), Happening::Failed { failure }),
        Record::Stopped { failure } | Record::TakenOver { failure } => {
            (Some(failure.step), Happening::Stopped { failure })
        }
        Record::Undoing { step } => (Some(step), Happening::Undoing),
        Record::Undone { step } => (Some(step), Happening::Undone),
        Record::Stuck { problem } => (Some(problem.step), Happening::Stuck { problem }),
        Record::Retried { by } => (None, Happening::Retried { by }),
        Record::Approved { by } => (Some(Step::Approve), Happening::Approved { by }),
        Record::Ended { outcome } => (None, Happening::Ended { outcome }),
        Record::Unreadable { problem } => (None, Happening::Note { text: problem }),
    }
}

fn done(result: StepResult) -> Happening {
    let note = match result {
        StepResult::Skipped { why } => return Happening::Skipped { why },
        StepResult::Nothing => String::new(),
        StepResult::Unchanged => "that very release is live already".to_owned(),
        StepResult::Prepared(prepared) => {
            let how = if prepared.running { ", still running" } else { "" };
            format!("{} for release {}{how}", prepared.colour, prepared.release.id)
        }
        StepResult::Running { instances } => {
            let at: Vec<String> = instances.iter().map(|i| i.address.to_string()).collect();
            format!("running at {}", at.join(", "))
        }
        StepResult::Switched { micros, .. } => {
            format!("proved live after {}.{} ms", micros / 1000, micros % 1000 / 100)
        }
    };
    Happening::Done { note }
}
