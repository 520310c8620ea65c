//! How a command that was interrupted takes its leave of the deployment it waited for.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::error::CliError;
use super::follow::Follow;
use super::signals::Interrupt;
use super::story::Story;
use crate::api::Because;
use crate::client::ClientError;
use crate::deploy::control::RefusalKind;
use crate::model::{DeploymentView, ExitCode, Outcome, Phase, Step, StepState};

/// The daemon has this long to take the order to abort.
const ORDER: Duration = Duration::from_secs(2);

/// Before leaving, the daemon is asked once more for this long.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// What a signal led to.
pub(super) struct Leaving {
    pub(super) at: Instant,
    asked: Asked,
}

enum Asked {
    /// The daemon aborts.
    Taken,
    /// It commits, or has ended.
    TooLate,
    /// The daemon could not be asked.
    Failed(ClientError),
}

impl Leaving {
    /// Ask the daemon, once, to abort.
    pub(super) async fn begin(follow: &Follow<'_>, interrupt: Interrupt) -> Self {
        let because =
            Because { by: follow.by.to_owned(), why: format!("the client got {}", interrupt.name) };
        let order = timeout(ORDER, follow.client.abort(follow.id, &because)).await;
        let asked = match order {
            Ok(Ok(())) => Asked::Taken,
            Ok(Err(ClientError::Refused(refusal))) if refusal.kind == RefusalKind::WrongState => {
                Asked::TooLate
            }
            Ok(Err(error)) => Asked::Failed(error),
            Err(_) => Asked::Failed(ClientError::Silent {
                address: follow.client.address().clone(),
                seconds: ORDER.as_secs(),
            }),
        };
        Self { at: interrupt.leave_at, asked }
    }

    /// Say where the deployment stands and how to follow it; the exit code is what is known of it.
    pub(super) async fn end(
        self,
        follow: &Follow<'_>,
        story: &mut Story,
    ) -> Result<ExitCode, CliError> {
        let id = follow.id;
        let too_late = match self.asked {
            Asked::Taken => false,
            Asked::TooLate => true,
            Asked::Failed(source) => {
                return Err(CliError::OutOfSight { deployment: id, source: Box::new(source) });
            }
        };
        let (what, code) = match standing(follow, story).await {
            Stands::Committed => ("has committed already and is being finished", ExitCode::Success),
            Stands::Committing => return Err(CliError::Committing { deployment: id }),
            Stands::Before if too_late => return Err(CliError::Committing { deployment: id }),
            Stands::Before => ("is being aborted and is not reverted yet", ExitCode::Aborted),
        };
        let words = format!(
            "deployment {id} of {} {what}; follow it with `verdigris logs {id} --follow`",
            follow.service
        );
        follow.context.screen.aside(&words);
        story.left = Some((code, words));
        Ok(code)
    }
}

/// On which side of the point of no return it is.
enum Stands {
    Before,
    /// What the commit comes to is not known yet.
    Committing,
    Committed,
}

/// What the events said, and what the daemon says when they did not say it in time.
async fn standing(follow: &Follow<'_>, story: &Story) -> Stands {
    if story.is_committed() {
        return Stands::Committed;
    }
    match timeout(LAST_LOOK, follow.client.deployment(follow.id)).await {
        Ok(Ok(view)) if view.phase == Phase::Finishing => Stands::Committed,
        Ok(Ok(view)) if view.outcome == Some(Outcome::Committed) => Stands::Committed,
        _ if story.is_committing() => Stands::Committing,
        Ok(Ok(view)) if is_committing(&view) => Stands::Committing,
        _ => Stands::Before,
    }
}

fn is_committing(view: &DeploymentView) -> bool {
    let commit = view.steps.iter().find(|known| known.step == Step::Commit);
    commit.is_some_and(|commit| commit.state == StepState::Running)
}
