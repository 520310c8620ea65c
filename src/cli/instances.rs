use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::screen::Tone;
use super::table::Rows;
use crate::model::{ExitCode, Registration, ServiceName, Standing};

/// List the registered instances of a service
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris instances books-ms
  verdigris instances books-ms --output json | jq -r '.[].instance.address'")]
pub(super) struct Instances {
    /// The service
    service: ServiceName,
}

impl Instances {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let instances = context.client()?.instances(&self.service).await?;
        context.answer(&instances, |instances| {
            if instances.is_empty() {
                return format!("no instance of {} is registered", self.service);
            }
            table(context, instances)
        })?;
        Ok(ExitCode::Success)
    }
}

fn table(context: &Context, instances: &[Registration]) -> String {
    let header = ["COLOUR", "STANDING", "ADDRESS", "NODE", "RELEASE", "TASK"];
    let mut rows = Rows::new(context, &header);
    for entry in instances {
        let standing = match entry.standing {
            Standing::Live => Tone::Good,
            Standing::Idle => Tone::Faint,
        };
        rows.row([
            (entry.colour.to_string(), entry.colour.into()),
            (entry.standing.as_str().to_owned(), standing),
            (entry.instance.address.to_string(), Tone::Plain),
            (entry.instance.node.clone(), Tone::Plain),
            (entry.release.to_string(), Tone::Plain),
            (entry.instance.task.clone(), Tone::Faint),
        ]);
    }
    rows.text()
}
