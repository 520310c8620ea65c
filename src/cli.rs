//! The command line: one file per verb, each one call to the daemon.

/// The exit codes, for `--help`.
macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0   committed, or that very release is live already
  1   internal error
  2   usage, or invalid stack file or configuration; nothing was touched
  10  start or health failed; reverted
  11  a gate before the switch failed; reverted
  12  a gate after the switch, or the bake, failed; reverted
  13  a proxy failed; reverted
  20  stuck: a revert or a retire could not finish, a person is needed
  30  the service is locked by another deployment
  31  superseded, or out of sequence
  32  approval rejected or expired; reverted
  40  the deadline passed; reverted
  41  daemon, Swarm or registry unreachable, or refusing; or left before the end was known
  50  aborted; reverted, or still being so when a signal made the command leave"
    };
}
use exit_codes;

mod abort;
mod aftermath;
mod approve;
mod check;
mod clean;
mod colour;
mod completions;
mod context;
mod deploy;
mod display;
mod doctor;
mod error;
mod follow;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod history;
mod instances;
mod junit;
mod leaving;
mod logs;
mod plan;
mod reference;
mod reject;
mod render;
mod retry;
mod rollback;
mod screen;
mod serve;
mod show;
mod signals;
mod stack_file;
mod status;
mod story;
mod submission;
mod table;
mod usage;
mod waiting;
mod watch;
mod who;
mod words;

use std::process;

use clap::{CommandFactory, Parser, Subcommand};

use crate::model::ExitCode;
use context::{Context, Globals};
use error::CliError;

/// Blue-green deployments for Docker Swarm, with service discovery.
#[derive(Debug, Parser)]
#[command(name = "verdigris", version, max_term_width = 100)]
#[command(after_long_help = exit_codes!())]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Serve(serve::Serve),
    Deploy(deploy::Deploy),
    Plan(plan::PlanOf),
    Rollback(rollback::Rollback),
    Abort(abort::Abort),
    Approve(approve::Approve),
    Reject(reject::Reject),
    Retry(retry::Retry),
    Status(status::StatusOf),
    #[command(visible_alias = "color")]
    Colour(colour::ColourOf),
    Instances(instances::Instances),
    History(history::History),
    Show(show::Show),
    Logs(logs::Logs),
    Watch(watch::Watch),
    Render(render::Render),
    Check(check::Check),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

impl Verb {
    async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        match self {
            Self::Serve(verb) => verb.run().await,
            Self::Deploy(verb) => verb.run(context).await,
            Self::Plan(verb) => verb.run(context).await,
            Self::Rollback(verb) => verb.run(context).await,
            Self::Abort(verb) => verb.run(context).await,
            Self::Approve(verb) => verb.run(context).await,
            Self::Reject(verb) => verb.run(context).await,
            Self::Retry(verb) => verb.run(context).await,
            Self::Status(verb) => verb.run(context).await,
            Self::Colour(verb) => verb.run(context).await,
            Self::Instances(verb) => verb.run(context).await,
            Self::History(verb) => verb.run(context).await,
            Self::Show(verb) => verb.run(context).await,
            Self::Logs(verb) => verb.run(context).await,
            Self::Watch(verb) => verb.run(context).await,
            Self::Render(verb) => verb.run(context).await,
            Self::Check(verb) => verb.run(context),
            Self::Doctor(verb) => verb.run(context).await,
            Self::Completions(verb) => verb.run(),
        }
    }

    /// A client makes one call at a time; the daemon makes many.
    fn is_daemon(&self) -> bool {
        matches!(self, Self::Serve(_))
    }
}

/// The whole program: reads the arguments, runs the verb, says what went wrong, once.
#[must_use]
pub fn main() -> process::ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage::refuse(&error),
    };
    let context = Context::new(cli.globals);
    let mut builder = if cli.verb.is_daemon() {
        tokio::runtime::Builder::new_multi_thread()
    } else {
        tokio::runtime::Builder::new_current_thread()
    };
    let result = match builder.enable_all().build() {
        Ok(runtime) => {
            let result = runtime.block_on(cli.verb.run(&context));
            // A name lookup or a read of standard input may hang; nothing waits for it.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(CliError::Runtime(error)),
    };
    let code = result.unwrap_or_else(|error| {
        context.screen.complain(&error);
        error.exit_code()
    });
    process::ExitCode::from(code as u8)
}

/// The command line as clap knows it, for completions and documentation.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}
