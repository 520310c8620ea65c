//! The engine's events, reduced to hints.

use bollard::models::{EventMessage, EventMessageTypeEnum};
use bollard::query_parameters::EventsOptions;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, future};

use crate::docker::{Client, Error, filters};

/// Those that can mean that a colour changed. Health probes alone make three others each.
const EVENTS: [&str; 8] =
    ["create", "update", "remove", "start", "die", "oom", "destroy", "health_status"];

/// On containers of tasks: the Swarm service that they belong to.
const SERVICE_LABEL: &str = "com.docker.swarm.service.name";

/// Names of Swarm services that something happened to; empty when it may concern any. Ends with the
/// connection.
pub async fn subscribe(client: &Client) -> Result<BoxStream<'static, String>, Error> {
    let kinds = ["service", "container", "node"];
    let filters = Some(filters(&[("type", &kinds), ("event", &EVENTS)]));
    let options = EventsOptions { filters, ..Default::default() };
    let events = client.begin("/events", |docker| docker.events(Some(options))).await?;
    let whole = events.take_while(|event| future::ready(event.is_ok()));
    let hints = whole.filter_map(|event| future::ready(event.ok().and_then(hint)));
    Ok(hints.boxed())
}

pub(super) fn hint(event: EventMessage) -> Option<String> {
    let mut attributes = event.actor?.attributes.unwrap_or_default();
    match event.typ? {
        EventMessageTypeEnum::SERVICE => attributes.remove("name"),
        EventMessageTypeEnum::CONTAINER => attributes.remove(SERVICE_LABEL),
        _ => Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_services_is_a_hint() {
        let said = |kind: &str, attributes: &str| {
            let event = format!(
                r#"{{"Type":"{kind}","Action":"update","Actor":{{"ID":"x","Attributes":{{{attributes}}}}}}}"#
            );
            hint(serde_json::from_str(&event).unwrap())
        };
        let books = Some("books-ms-blue".to_owned());
        assert_eq!(
            said("service", r#""name":"books-ms-blue","updatestate.new":"completed""#),
            books
        );
        let label = format!(r#""{SERVICE_LABEL}":"books-ms-blue","name":"books-ms-blue.1.abc""#);
        assert_eq!(said("container", &label), books);
        assert_eq!(said("container", r#""name":"somebody-else""#), None);
        assert_eq!(said("node", r#""name":"alpha","state.new":"down""#), Some(String::new()));
        assert_eq!(hint(EventMessage::default()), None);
    }
}
