use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::reference::{Ordered, Reference};
use super::who::Who;
use crate::api::Because;
use crate::model::ExitCode;

/// Let a deployment that waits for approval go on
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris approve books-ms
  verdigris approve 019aa3b2c4d5")]
pub(super) struct Approve {
    /// The deployment, by the beginning of its id, or its service
    deployment: Reference,

    #[command(flatten)]
    who: Who,
}

impl Approve {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client()?;
        let id = self.deployment.under_way(&client).await?;
        let because = Because { by: self.who.name(), why: String::new() };
        client.approve(id, &because).await?;
        context.answer(&Ordered { deployment: id }, |_| format!("deployment {id} is approved"))?;
        Ok(ExitCode::Success)
    }
}
