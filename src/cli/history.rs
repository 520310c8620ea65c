use clap::Args;
use jiff::Timestamp;

use super::context::Context;
use super::display::short;
use super::error::CliError;
use super::screen::Tone;
use super::status::sees_all;
use super::table::Rows;
use super::words::{brief, tone};
use crate::client::Client;
use crate::model::{DeploymentView, ExitCode, Outcome, Phase, ServiceName};

/// List deployments, the newest first
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris history
  verdigris history books-ms --limit 5")]
pub(super) struct History {
    /// Of this service only
    service: Option<ServiceName>,

    /// How many
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
}

impl History {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client()?;
        let views = client.deployments(self.service.as_ref(), self.limit.into()).await?;
        let nothing = match views.is_empty() {
            true => self.nothing(&client).await?,
            false => String::new(),
        };
        context.answer(&views, |views| match views.as_slice() {
            [] => nothing,
            views => table(context, views),
        })?;
        Ok(ExitCode::Success)
    }

    /// What to say where there is nothing. A service that nobody knows is refused as `status` does.
    async fn nothing(&self, client: &Client) -> Result<String, CliError> {
        if let Some(service) = &self.service {
            client.status(Some(service)).await?;
            return Ok(format!("no deployment of {service} is on record"));
        }
        let words = match sees_all(client).await {
            true => "nothing was deployed yet",
            false => "nothing that this token may see was deployed yet",
        };
        Ok(words.to_owned())
    }
}

fn table(context: &Context, views: &[DeploymentView]) -> String {
    let header =
        ["DEPLOYMENT", "SERVICE", "KIND", "COLOUR", "RELEASE", "BEGAN", "TOOK", "OUTCOME", "BY"];
    let mut rows = Rows::new(context, &header);
    for view in views {
        let colour = view
            .colour
            .map_or((String::new(), Tone::Plain), |colour| (colour.to_string(), colour.into()));
        let release = view.release.as_ref().map(ToString::to_string).unwrap_or_default();
        let (outcome, outcome_tone) = outcome(view);
        rows.row([
            (short(view.id), Tone::Strong),
            (view.service.to_string(), Tone::Plain),
            (view.kind.clone(), Tone::Plain),
            colour,
            (release, Tone::Plain),
            (moment(view.opened), Tone::Faint),
            (took(view), Tone::Faint),
            (outcome, outcome_tone),
            (view.by.clone(), Tone::Faint),
        ]);
    }
    rows.text()
}

/// The end, or where it stands, in a word.
pub(super) fn outcome(view: &DeploymentView) -> (String, Tone) {
    match &view.outcome {
        Some(outcome) => {
            let tone = match outcome {
                Outcome::Unchanged => Tone::Faint,
                outcome => tone(outcome),
            };
            (outcome.as_str().to_owned(), tone)
        }
        None => (phase(view.phase).to_owned(), Tone::Warning),
    }
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Deploying => "deploying",
        Phase::Waiting => "waiting for approval",
        Phase::Reverting => "reverting",
        Phase::Finishing => "finishing",
        Phase::Ended => "ended",
    }
}

/// A moment, to the second.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

fn took(view: &DeploymentView) -> String {
    let end = view.ended.unwrap_or_else(Timestamp::now);
    brief(end.duration_since(view.opened).try_into().unwrap_or_default())
}
