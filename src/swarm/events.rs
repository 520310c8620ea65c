//! The engine's events, reduced to hints.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, future};
use serde::Deserialize;
use std::collections::HashMap;

use crate::docker::{Client, Error};

/// Those that can mean that a colour changed. Health probes alone make three others each.
const EVENTS: [&str; 8] =
    ["create", "update", "remove", "start", "die", "oom", "destroy", "health_status"];

/// On containers of tasks: the Swarm service that they belong to.
const SERVICE_LABEL: &str = "com.docker.swarm.service.name";

/// Names of Swarm services that something happened to; empty when it may concern any. Ends with the
/// connection.
pub async fn subscribe(client: &Client) -> Result<BoxStream<'static, String>, Error> {
    let filters: [(&str, &[&str]); 2] =
        [("type", &["service", "container", "node"]), ("event", &EVENTS)];
    let lines = client.get("/events").filters(&filters).lines().await?;
    let whole = lines.take_while(|line| future::ready(line.is_ok()));
    let hints = whole.filter_map(|line| future::ready(line.ok().as_deref().and_then(hint)));
    Ok(hints.boxed())
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Type", default)]
    kind: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "Attributes", default)]
    attributes: HashMap<String, String>,
}

fn hint(line: &str) -> Option<String> {
    let mut event: Event = serde_json::from_str(line).ok()?;
    match event.kind.as_str() {
        "service" => event.actor.attributes.remove("name"),
        "container" => event.actor.attributes.remove(SERVICE_LABEL),
        _ => Some(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_concerns_services_is_a_hint() {
        let said = |kind: &str, attributes: &str| {
            hint(&format!(
                r#"{{"Type":"{kind}","Action":"update","Actor":{{"ID":"x","Attributes":{{{attributes}}}}}}}"#
            ))
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
        assert_eq!(hint("no json"), None);
    }
}
