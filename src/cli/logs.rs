use clap::Args;

use super::context::Context;
use super::display::Display;
use super::error::CliError;
use super::follow::connection;
use super::reference::Reference;
use super::story::Story;
use crate::client::{Client, Followed};
use crate::model::{DeploymentId, ExitCode};

/// Print what happened in a deployment, with what its gates wrote
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris logs books-ms --follow    # the one under way, else the latest
  verdigris logs 019aa3b2c4d5")]
pub(super) struct Logs {
    /// The deployment, by the beginning of its id, or its service
    deployment: Reference,

    /// Go on until the deployment ends
    #[arg(long)]
    follow: bool,
}

impl Logs {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client()?;
        let id = self.deployment.latest(&client).await?;
        // What is looked up afterwards does not move, on a terminal either.
        let display = Display::still(context);
        if self.follow {
            follow(&client, id, &display).await?;
        } else {
            let mut story = Story::default();
            for event in client.events(id).await? {
                story.add(&event);
                display.event(&event, &story)?;
            }
        }
        Ok(ExitCode::Success)
    }
}

async fn follow(client: &Client, id: DeploymentId, display: &Display) -> Result<(), CliError> {
    let mut story = Story::default();
    let mut events = client.follow(id, false);
    while let Some(told) = events.next().await {
        match told
            .map_err(|error| CliError::OutOfSight { deployment: id, source: Box::new(error) })?
        {
            Followed::Event(event) => {
                story.add(&event);
                display.event(&event, &story)?;
            }
            told => display.remark(id, connection(&told))?,
        }
    }
    Ok(())
}
