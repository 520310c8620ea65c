use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::aftermath::explain;
use super::context::Context;
use super::display::Display;
use super::error::CliError;
use super::leaving::Leaving;
use super::signals::{Interrupt, Signals};
use super::story::Story;
use super::waiting::Limits;
use super::words::brief;
use crate::client::{Client, ClientError, Events, Followed};
use crate::model::{DeploymentId, ExitCode, ServiceName};

/// Without a terminal, what is awaited is said this often.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A deployment that is stuck is left to people after this long. The daemon takes it up again every
/// ten seconds: what is over by then was no more than a passing trouble.
const PATIENCE: Duration = Duration::from_secs(15);

/// A deployment that this command waits for.
pub(super) struct Follow<'a> {
    pub(super) context: &'a Context,
    pub(super) client: &'a Client,
    pub(super) id: DeploymentId,
    pub(super) service: &'a ServiceName,
    /// Who asked, for the abort.
    pub(super) by: &'a str,
    /// The daemon aborts it when this client vanishes.
    pub(super) hold: bool,
    pub(super) limits: Limits,
    /// A signal that came before there was anything to abort.
    pub(super) interrupt: Option<Interrupt>,
}

impl Follow<'_> {
    /// Follow to the end, until it is stuck for good, or until a signal; `story` learns all that happens.
    pub(super) async fn to_the_end(
        &self,
        signals: &mut Signals,
        story: &mut Story,
    ) -> Result<ExitCode, CliError> {
        let display = Display::new(self.context);
        let result = self.watch(signals, story, &display).await;
        display.finish();
        let leaving = result?;
        explain(self.context.screen, self.id, story);
        match (story.verdict(), leaving) {
            (Some(outcome), _) => Ok(outcome.exit_code()),
            (None, Some(leaving)) => leaving.end(self, story).await,
            (None, None) => Ok(ExitCode::Internal),
        }
    }

    /// Until the end (none), or until it is time to leave.
    async fn watch(
        &self,
        signals: &mut Signals,
        story: &mut Story,
        display: &Display,
    ) -> Result<Option<Leaving>, CliError> {
        let mut leaving = match self.interrupt {
            Some(interrupt) => Some(self.interrupted(interrupt, display).await),
            None => None,
        };
        let mut events = self.client.follow(self.id, self.hold);
        let mut beat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut give_up_at = None;
        loop {
            let leave_at = [leaving.as_ref().map(|leaving| leaving.at), give_up_at];
            let leave_at = leave_at.into_iter().flatten().min();
            // What cannot be printed is left unsaid: a closed pipe is no reason to leave a
            // deployment alone.
            tokio::select! {
                next = next(&mut events) => match self.seen(next)? {
                    Some(Followed::Event(event)) => {
                        story.add(&event);
                        let _ = display.event(&event, story);
                        give_up_at = self.patience(give_up_at, story, display);
                    }
                    Some(told) => { let _ = display.remark(self.id, connection(&told)); }
                    None => return Ok(None),
                },
                _ = beat.tick() => { let _ = display.heartbeat(self.id, story, &self.limits); }
                () = sleep_until(leave_at.unwrap_or_else(Instant::now)), if leave_at.is_some() => {
                    return Ok(leaving);
                }
                interrupt = signals.next() => match leaving {
                    Some(_) => return Ok(leaving),
                    None => leaving = Some(self.interrupted(interrupt, display).await),
                }
            }
        }
    }

    /// Until when a deployment that is stuck is still waited for, if it is.
    fn patience(
        &self,
        known: Option<Instant>,
        story: &Story,
        display: &Display,
    ) -> Option<Instant> {
        story.stuck.as_ref()?;
        if known.is_none() {
            let words = format!(
                "the daemon tries again in 10s; this command leaves it to you in {}",
                brief(PATIENCE)
            );
            let _ = display.remark(self.id, &words);
        }
        known.or_else(|| Some(Instant::now() + PATIENCE))
    }

    async fn interrupted(&self, interrupt: Interrupt, display: &Display) -> Leaving {
        let words = format!("{}: asking the daemon to abort", interrupt.name);
        let _ = display.remark(self.id, &words);
        Leaving::begin(self, interrupt).await
    }

    fn seen<T>(&self, next: Result<T, ClientError>) -> Result<T, CliError> {
        next.map_err(|error| CliError::OutOfSight { deployment: self.id, source: Box::new(error) })
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
