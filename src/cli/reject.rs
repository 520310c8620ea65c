use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::reference::{Ordered, Reference};
use super::who::Who;
use crate::api::Because;
use crate::model::ExitCode;

/// Revert a deployment that waits for approval
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris reject books-ms
  verdigris reject 019aa3b2c4d5")]
pub(super) struct Reject {
    /// The deployment, by the beginning of its id, or its service
    deployment: Reference,

    /// Why, for the log
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,

    #[command(flatten)]
    who: Who,
}

impl Reject {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client()?;
        let id = self.deployment.under_way(&client).await?;
        let because = Because { by: self.who.name(), why: self.why };
        client.reject(id, &because).await?;
        context.answer(&Ordered { deployment: id }, |_| {
            format!("deployment {id} is rejected and being reverted")
        })?;
        Ok(ExitCode::Success)
    }
}
