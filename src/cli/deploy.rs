use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::stack_file::StackFile;
use super::submission::Submission;
use crate::model::ExitCode;

/// Deploy a release into the idle colour, test it, and switch to it
///
/// Waits until the deployment is committed, or reverted, or stuck, and says which with its exit
/// code. Asking again for what is being deployed follows that deployment; asking for what is live
/// does nothing. An interrupted command aborts the deployment.
#[derive(Debug, Args)]
#[command(after_long_help = concat!("\
Examples:
  verdigris deploy -f stack.yml
  verdigris deploy books-ms -f stack.yml --image registry:5000/books-ms:1.4.2 --junit report.xml
  verdigris deploy --var TAG=1.4.2 --sequence $BUILD_NUMBER --deadline 20m
  verdigris deploy --detach

", super::exit_codes!()))]
pub(super) struct Deploy {
    #[command(flatten)]
    stack: StackFile,

    #[command(flatten)]
    submission: Submission,
}

impl Deploy {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let stack = self.stack;
        self.submission.carry_out(context, || stack.kind()).await
    }
}
