use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::submission::Submission;
use crate::model::{ExitCode, ServiceName};

/// Deploy a release into the idle colour, test it, and switch to it
#[derive(Debug, Args)]
pub(super) struct Deploy {
    /// The service; needed when the stack file has several with an `x-verdigris` block
    service: Option<ServiceName>,

    #[command(flatten)]
    submission: Submission,
}

impl Deploy {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let service = self.service;
        self.submission
            .carry_out(context, || Err(CliError::NoReference(format!("{service:?}"))))
            .await
    }
}
