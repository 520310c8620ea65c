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
use crate::model::{ExitCode, Phase};

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
    /// It is too late.
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
        story: &Story,
    ) -> Result<ExitCode, CliError> {
        let id = follow.id;
        let (what, code) = match self.asked {
            Asked::Taken => ("is being aborted and reverted", ExitCode::Aborted),
            Asked::TooLate if story.is_committed() || is_committed(follow).await => {
                ("has committed already and is being finished", ExitCode::Success)
            }
            Asked::TooLate => ("can no longer be aborted", ExitCode::Aborted),
            Asked::Failed(source) => {
                return Err(CliError::OutOfSight { deployment: id, source: Box::new(source) });
            }
        };
        follow.context.screen.aside(&format!(
            "deployment {id} of {} {what}; follow it with `verdigris logs {id} --follow`",
            follow.service
        ));
        Ok(code)
    }
}

/// What the daemon says when the events did not say it in time.
async fn is_committed(follow: &Follow<'_>) -> bool {
    let view = timeout(LAST_LOOK, follow.client.deployment(follow.id)).await;
    matches!(view, Ok(Ok(view)) if view.phase == Phase::Finishing)
}
