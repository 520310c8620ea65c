use clap::Args;

use super::context::{Context, Output};
use super::error::CliError;
use super::screen::Tone;
use crate::api::Source;
use crate::model::{ExitCode, ServiceName};

/// Print the live colour of a service: just `blue` or `green`
#[derive(Debug, Args)]
#[command(after_long_help = "\
Fails, with nothing on standard output, while no colour is live.
While the registry is away it is the colour that every proxy leads to, and standard
error says so; where they do not agree, or there are none, it fails with 41.

Examples:
  verdigris colour books-ms
  docker service logs books-ms-$(verdigris colour books-ms)")]
pub(super) struct ColourOf {
    /// The service
    service: ServiceName,
}

impl ColourOf {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let live = context.client()?.colour(&self.service).await?;
        let Some(colour) = live.colour else {
            return Err(CliError::NothingLive(self.service));
        };
        if live.source == Source::Proxies {
            context.screen.labelled(
                "note",
                Tone::Warning,
                "the registry is away: every proxy leads there",
            );
        }
        match context.output {
            Output::Text => context.screen.line(colour.as_str())?,
            Output::Json => context.answer(&live, |_| String::new())?,
        }
        Ok(ExitCode::Success)
    }
}
