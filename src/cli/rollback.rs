use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::context::Context;
use super::error::CliError;
use super::submission::Submission;
use crate::model::{ExitCode, Kind, ServiceName};

/// Make an earlier release live again
///
/// Without `--to` that is the release that was live before the present one. When its colour still
/// runs, the traffic just moves back; else it is deployed from what was recorded of it. Gates,
/// approval and bake are left out: it has passed them before.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris rollback books-ms
  verdigris rollback books-ms --to 3f9c2a71b0de")]
pub(super) struct Rollback {
    /// The service
    service: ServiceName,

    /// This release instead of the previous one, by the id that `verdigris show` prints, or its beginning
    #[arg(long, value_name = "RELEASE", value_parser = NonEmptyStringValueParser::new())]
    to: Option<String>,

    #[command(flatten)]
    submission: Submission,
}

impl Rollback {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let kind = Kind::Rollback { service: self.service, release: self.to };
        self.submission.carry_out(context, || Ok(kind)).await
    }
}
