use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::reference::{Ordered, Reference};
use super::who::Who;
use crate::api::Because;
use crate::model::ExitCode;

/// Take up a stuck deployment again, when its cause is removed
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris retry books-ms
  verdigris retry 019aa3b2c4d5")]
pub(super) struct Retry {
    /// The deployment, by the beginning of its id, or its service
    deployment: Reference,

    #[command(flatten)]
    who: Who,
}

impl Retry {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client()?;
        let id = self.deployment.under_way(&client).await?;
        let because = Because { by: self.who.name(), why: String::new() };
        client.retry(id, &because).await?;
        context.answer(&Ordered { deployment: id }, |_| {
            format!("deployment {id} is taken up again")
        })?;
        Ok(ExitCode::Success)
    }
}
