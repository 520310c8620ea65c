use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::reference::{Ordered, Reference};
use super::who::Who;
use crate::api::Because;
use crate::model::ExitCode;

/// Stop a deployment that has not committed, and revert it
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris abort books-ms
  verdigris abort 019aa3b2c4d5")]
pub(super) struct Abort {
    /// The deployment, by the beginning of its id, or its service
    deployment: Reference,

    /// Why, for the log
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,

    #[command(flatten)]
    who: Who,
}

impl Abort {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client()?;
        let id = self.deployment.under_way(&client).await?;
        let because = Because { by: self.who.name(), why: self.why };
        client.abort(id, &because).await?;
        context.answer(&Ordered { deployment: id }, |_| {
            format!("deployment {id} is being aborted and reverted")
        })?;
        Ok(ExitCode::Success)
    }
}
