use std::collections::HashMap;

use clap::Args;

use super::context::Context;
use super::display::Display;
use super::error::CliError;
use super::follow::connection;
use super::story::Story;
use crate::client::{Client, Followed};
use crate::model::{DeploymentId, Event, ExitCode, Happening, ServiceName};

/// Print what happens in all deployments, as it happens, until interrupted
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris watch
  verdigris watch books-ms --output json")]
pub(super) struct Watch {
    /// Of this service only
    service: Option<ServiceName>,
}

/// What is known of the deployments that are under way.
struct Watched<'a> {
    client: &'a Client,
    service: Option<ServiceName>,
    stories: HashMap<DeploymentId, (ServiceName, Story)>,
}

impl Watch {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client()?;
        let display = Display::still(context);
        let mut watched =
            Watched { client: &client, service: self.service, stories: HashMap::new() };
        let mut events = client.watch();
        while let Some(told) = events.next().await {
            match told? {
                Followed::Event(event) => watched.tell(&event, &display).await?,
                told => context.screen.aside(connection(&told)),
            }
        }
        Ok(ExitCode::Success)
    }
}

impl Watched<'_> {
    async fn tell(&mut self, event: &Event, display: &Display) -> Result<(), CliError> {
        let id = event.deployment;
        if !self.stories.contains_key(&id) {
            let service = self.client.deployment(id).await?.service;
            self.stories.insert(id, (service, Story::default()));
        }
        let Some((service, story)) = self.stories.get_mut(&id) else { return Ok(()) };
        story.add(event);
        if self.service.as_ref().is_none_or(|wanted| wanted == service) {
            display.event_of(service, event, story)?;
        }
        if matches!(event.what, Happening::Ended { .. }) {
            self.stories.remove(&id);
        }
        Ok(())
    }
}
