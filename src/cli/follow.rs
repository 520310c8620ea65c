use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use super::aftermath::explain;
use super::context::Context;
use super::display::Display;
use super::error::CliError;
use super::signals::Signals;
use super::story::Story;
use super::waiting::Limits;
use crate::api::Because;
use crate::client::{Client, ClientError, Events, Followed};
use crate::deploy::control::RefusalKind;
use crate::model::{DeploymentId, ExitCode, Phase, ServiceName};

/// Without a terminal, what is awaited is said this often.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// After a signal the daemon has this long to take the order to abort.
const ORDER: Duration = Duration::from_secs(2);
/// After a signal the process is gone within 5 s; what happens until then is still shown.
const LEAVE: Duration = Duration::from_secs(4);

/// A deployment that this command waits for.
pub(super) struct Follow<'a> {
    pub(super) context: &'a Context,
    pub(super) client: &'a Client,
    pub(super) signals: &'a mut Signals,
    pub(super) id: DeploymentId,
    pub(super) service: &'a ServiceName,
    /// Who asked, for the abort.
    pub(super) by: &'a str,
    /// The daemon aborts it when this client vanishes.
    pub(super) hold: bool,
    pub(super) limits: Limits,
}

/// Before leaving, the daemon is asked once more for this long.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// What a signal led to.
struct Leaving {
    at: Instant,
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

impl Follow<'_> {
    /// Follow to the end, or until a signal; `story` learns all that happens.
    pub(super) async fn to_the_end(mut self, story: &mut Story) -> Result<ExitCode, CliError> {
        let display = Display::new(self.context);
        let result = self.watch(story, &display).await;
        display.finish();
        let leaving = result?;
        explain(&self.context.screen, self.id, story);
        match (&story.outcome, leaving) {
            (Some(outcome), _) => Ok(outcome.exit_code()),
            (None, Some(leaving)) => self.leave(leaving, story).await,
            (None, None) => Ok(ExitCode::Internal),
        }
    }

    /// Until the end (none), or until it is time to leave.
    async fn watch(
        &mut self,
        story: &mut Story,
        display: &Display,
    ) -> Result<Option<Leaving>, CliError> {
        let mut events = self.client.follow(self.id, self.hold);
        let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaving: Option<Leaving> = None;
        loop {
            let leave_at = leaving.as_ref().map(|leaving| leaving.at);
            tokio::select! {
                next = next(&mut events) => match self.lost(next)? {
                    Some(Followed::Event(event)) => {
                        story.add(&event);
                        // A closed pipe is no reason to leave a deployment alone.
                        let _ = display.event(&event, story);
                    }
                    Some(told) => { let _ = display.remark(self.id, connection(&told)); }
                    None => return Ok(None),
                },
                _ = beat.tick() => { let _ = display.heartbeat(self.id, story, &self.limits); }
                () = sleep_until(leave_at.unwrap_or_else(Instant::now)), if leave_at.is_some() => {
                    return Ok(leaving);
                }
                signal = self.signals.next() => {
                    if leaving.is_some() {
                        return Ok(leaving);
                    }
                    let at = Instant::now() + LEAVE;
                    let _ = display.remark(self.id, &format!("{signal}: asking the daemon to abort"));
                    leaving = Some(Leaving { at, asked: self.abort(signal).await });
                }
            }
        }
    }

    fn lost<T>(&self, next: Result<T, ClientError>) -> Result<T, CliError> {
        next.map_err(|error| CliError::OutOfSight { deployment: self.id, source: Box::new(error) })
    }

    async fn abort(&self, signal: &str) -> Asked {
        let because = Because { by: self.by.to_owned(), why: format!("the client got {signal}") };
        match timeout(ORDER, self.client.abort(self.id, &because)).await {
            Ok(Ok(())) => Asked::Taken,
            Ok(Err(ClientError::Refused(refusal))) if refusal.kind == RefusalKind::WrongState => {
                Asked::TooLate
            }
            Ok(Err(error)) => Asked::Failed(error),
            Err(_) => Asked::Failed(ClientError::Silent {
                address: self.client.address().clone(),
                seconds: ORDER.as_secs(),
            }),
        }
    }

    async fn leave(&self, leaving: Leaving, story: &Story) -> Result<ExitCode, CliError> {
        let id = self.id;
        let (what, code) = match leaving.asked {
            Asked::Taken => ("is being aborted and reverted", ExitCode::Aborted),
            Asked::TooLate if story.is_committed() || self.is_committed().await => {
                ("has committed already and is being finished", ExitCode::Success)
            }
            Asked::TooLate => ("can no longer be aborted", ExitCode::Aborted),
            Asked::Failed(source) => {
                return Err(CliError::OutOfSight { deployment: id, source: Box::new(source) });
            }
        };
        self.context.screen.aside(&format!(
            "deployment {id} of {} {what}; follow it with `verdigris logs {id} --follow`",
            self.service
        ));
        Ok(code)
    }

    /// What the daemon says when the events did not say it in time.
    async fn is_committed(&self) -> bool {
        let view = timeout(LAST_LOOK, self.client.deployment(self.id)).await;
        matches!(view, Ok(Ok(view)) if view.phase == Phase::Finishing)
    }
}

async fn next(events: &mut Events) -> Result<Option<Followed>, ClientError> {
    events.next().await.transpose()
}

/// What to say of the connection.
pub(super) fn connection(told: &Followed) -> &'static str {
    match told {
        Followed::Reconnecting => "the connection to the daemon broke; trying again",
        Followed::Reconnected => "the daemon is there again",
        Followed::Event(_) => "",
    }
}
