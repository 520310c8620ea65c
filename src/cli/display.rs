//! Shows what happens in a deployment: moving on a terminal, as plain lines elsewhere, or as JSON.

mod live;

use jiff::Timestamp;

use super::clean::clean;
use super::context::{Context, Output};
use super::error::CliError;
use super::screen::{Screen, Tone};
use super::story::Story;
use super::waiting::{Limits, waiting};
use super::words::words;
use crate::model::{DeploymentId, Event, ServiceName, Step};
use live::Live;

/// Shows what happens in a deployment.
pub(super) struct Display {
    screen: Screen,
    way: Way,
}

enum Way {
    Plain,
    Live(Live),
    Json,
}

impl Display {
    /// As the context asks.
    pub(super) fn new(context: &Context) -> Self {
        let way = match context.output {
            Output::Json => Way::Json,
            Output::Text if context.screen.lively => Way::Live(Live::new()),
            Output::Text => Way::Plain,
        };
        Self { screen: context.screen, way }
    }

    /// The same without anything that moves.
    pub(super) fn still(context: &Context) -> Self {
        let way = match context.output {
            Output::Json => Way::Json,
            Output::Text => Way::Plain,
        };
        Self { screen: context.screen, way }
    }

    /// Show `event` of a deployment among others.
    pub(super) fn event_of(
        &self,
        service: &ServiceName,
        event: &Event,
        story: &Story,
    ) -> Result<(), CliError> {
        if matches!(self.way, Way::Json) {
            return self.event(event, story);
        }
        let (text, tone) = words(event, story);
        self.line(
            event.at,
            &format!("{} {service}", short(event.deployment)),
            event.step,
            &text,
            tone,
        )
    }

    /// Show `event`, which `story` knows already.
    pub(super) fn event(&self, event: &Event, story: &Story) -> Result<(), CliError> {
        let (text, tone) = words(event, story);
        match &self.way {
            Way::Json => self.screen.line(&serde_json::to_string(event).map_err(CliError::Json)?),
            Way::Plain => self.line(event.at, &short(event.deployment), event.step, &text, tone),
            Way::Live(live) => {
                live.event(self.screen, event, &text, tone);
                live.now(story);
                Ok(())
            }
        }
    }

    /// Say something that is no event of the deployment.
    pub(super) fn remark(&self, id: DeploymentId, text: &str) -> Result<(), CliError> {
        match &self.way {
            Way::Json => self.screen.aside(text),
            Way::Plain => {
                return self.line(Timestamp::now(), &short(id), None, text, Tone::Warning);
            }
            Way::Live(live) => live.print(&self.screen.paint(Tone::Warning, &clean(text))),
        }
        Ok(())
    }

    /// Say what is awaited; a terminal shows it all the time.
    pub(super) fn heartbeat(
        &self,
        id: DeploymentId,
        story: &Story,
        limits: &Limits,
    ) -> Result<(), CliError> {
        if matches!(self.way, Way::Plain) {
            let now = Timestamp::now();
            for (step, text) in waiting(story, limits, id, now) {
                self.line(now, &short(id), step, &text, Tone::Faint)?;
            }
        }
        Ok(())
    }

    /// `time deployment step message`
    fn line(
        &self,
        at: Timestamp,
        deployment: &str,
        step: Option<Step>,
        text: &str,
        tone: Tone,
    ) -> Result<(), CliError> {
        let screen = self.screen;
        let at = screen.paint(Tone::Faint, &at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let step = step.map_or("-", Step::as_str);
        let text = screen.paint(tone, &clean(text));
        screen.line(&format!("{at} {deployment} {step:<16} {text}"))
    }

    /// Nothing moves any more.
    pub(super) fn finish(&self) {
        if let Way::Live(live) = &self.way {
            live.finish();
        }
    }
}

/// A deployment's id as lines show it: the part that is its time, enough to name it by.
pub(super) fn short(id: DeploymentId) -> String {
    const SHORT: usize = 12;
    id.to_string().chars().take(SHORT).collect()
}
