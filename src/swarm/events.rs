//! The engine's events, reduced to hints.

use std::collections::HashMap;
use std::future;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Deserialize;

use crate::docker::{Client, Error};

/// Those that can mean that a colour changed. Health probes alone make three others each.
const EVENTS: [&str; 8] =
    ["create", "update", "remove", "start", "die", "oom", "destroy", "health_status"];

/// On containers of tasks: the Swarm service that they belong to.
const SERVICE_LABEL: &str = "com.docker.swarm.service.name";

/// An event, what of it matters here. Of kinds that are not known there may be any.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    r#type: String,
    actor: Actor,
}

#[derive(Debug, Default, Deserialize)]
struct Actor {
    #[serde(rename = "Attributes", default)]
    attributes: HashMap<String, String>,
}

/// Names of Swarm services that something happened to; empty when it may concern any. Ends with the
/// connection.
pub async fn subscribe(client: &Client) -> Result<BoxStream<'static, String>, Error> {
    let kinds = ["service", "container", "node"];
    let call = client.get("/events").filters(&[("type", &kinds), ("event", &EVENTS)]);
    Ok(call.lines().await?.filter_map(|line| future::ready(hint(&line))).boxed())
}

/// One line. An event that is not understood may concern any service, and is no reason to hear no
/// others.
pub(super) fn hint(line: &str) -> Option<String> {
    let Ok(Event { r#type, actor: Actor { mut attributes } }) = serde_json::from_str(line) else {
        tracing::debug!("an event of the engine is not understood");
        return Some(String::new());
    };
    match r#type.as_str() {
        "service" => attributes.remove("name"),
        "container" => attributes.remove(SERVICE_LABEL),
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
            hint(&event)
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
    }

    #[test]
    fn what_is_not_understood_may_concern_any_service() {
        for line in ["", "no event", "{}", r#"{"Type":"service"}"#, r#"{"Type":7,"Actor":{}}"#] {
            assert_eq!(hint(line), Some(String::new()), "{line}");
        }
        let unheard_of = r#"{"Type":"constellation","Action":"aligned","Actor":{}}"#;
        assert_eq!(hint(unheard_of), Some(String::new()));
    }
}
