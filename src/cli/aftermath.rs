use super::screen::{Screen, Tone};
use super::story::Story;
use crate::model::{DeploymentId, Failure, Outcome, Step, StepState};

/// After a deployment that was not committed: why, with what its parts said, and what was restored.
pub(super) fn explain(screen: Screen, id: DeploymentId, story: &Story) {
    match &story.verdict() {
        Some(Outcome::Reverted { failure }) => {
            show(screen, "error", failure);
            screen.labelled("restored", Tone::Good, &restored(story));
        }
        Some(Outcome::Stuck { failure, problem }) => {
            if let Some(failure) = failure {
                show(screen, "error", failure);
            }
            show(screen, "stuck", problem);
            let help = format!(
                "when the cause is removed, `verdigris retry {id}`; `verdigris show {id}` says what \
                 is left to do"
            );
            screen.labelled("help", Tone::Good, &help);
        }
        _ => {}
    }
}

fn show(screen: Screen, label: &str, failure: &Failure) {
    screen.labelled(label, Tone::Bad, &format!("`{}`: {}", failure.step, failure.message));
    for line in &failure.details {
        screen.aside(&format!("  {line}"));
    }
    if let Some(remedy) = &failure.remedy {
        screen.labelled("help", Tone::Good, remedy);
    }
}

fn restored(story: &Story) -> String {
    let undone: Vec<&str> =
        story.steps_in(StepState::Undone).map(|chapter| chapter.step.as_str()).collect();
    if undone.is_empty() {
        return "nothing had been changed".to_owned();
    }
    let switched = story.steps_in(StepState::Undone).any(|chapter| chapter.step == Step::Switch);
    let traffic =
        if switched { "public traffic is back where it was" } else { "public traffic never moved" };
    format!("all is as it was before; undone: {}; {traffic}", undone.join(", "))
}
