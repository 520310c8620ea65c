//! The `x-verdigris` block as it is written.

mod gates;
mod leaves;

use schemars::JsonSchema;

use crate::document::{At, Leaf, Node, Problems, Read, Value, record};
use crate::model::Publish;

use super::leaves::{Count, Period, Port, SOME_TIME};
pub(super) use gates::{CommandRecord, ContainerRecord, GateRecord, GatesRecord, HttpRecord};
use leaves::Ratio;
pub(super) use leaves::{Host, RoutePath};

record! {
    /// How Verdigris deploys this service, blue-green.
    #[derive(JsonSchema)]
    #[schemars(rename = "XVerdigris", deny_unknown_fields)]
    pub(crate) struct Block {
        /// The container port that serves traffic.
        port: Port,
        /// How an instance is reached: `host` (a random port of its node, the default) or `overlay`
        /// (its own address on a network that the proxies share).
        publish: Option<At<Publish>>,
        /// How the public reaches the service; without it, nothing is given to the proxies.
        route: Option<RouteRecord>,
        /// The checks that decide whether a deployment goes on.
        gates: Option<GatesRecord>,
        /// How long every replica must stay running and healthy before the release counts as
        /// started; 2s by default.
        stable_for: Option<At<Period>>,
        /// Wait for a person before the switch: `true`, or when the wait expires.
        approve: Option<Approve>,
        /// Watch the new colour under public traffic before the commit.
        bake: Option<BakeRecord>,
        /// Longest wait for requests in flight on the old colour; 30s by default.
        drain: Option<Period>,
        /// What is kept of the old colour, for an instant rollback; nothing by default.
        retain: Option<RetainRecord>,
        /// A deployment that has not committed after this long is reverted; 15m by default. Waiting
        /// for approval does not count.
        #[schemars(extend("pattern" = SOME_TIME))]
        deadline: Option<At<Period>>,
    }

    /// What public requests belong to the service.
    #[derive(JsonSchema)]
    #[schemars(rename = "Route", deny_unknown_fields)]
    pub(crate) struct RouteRecord {
        /// Host names.
        hosts: At<Hosts>,
        /// Path prefix, of whole segments; `/` by default.
        path: Option<RoutePath>,
        /// Served on 443 as well as on 80; true by default.
        tls: Option<bool>,
    }

    /// Wait for a person.
    #[derive(JsonSchema)]
    #[schemars(rename = "Approval", deny_unknown_fields)]
    pub(crate) struct ApprovalRecord {
        /// The deployment is reverted when nobody decided for this long; 1h by default.
        expires: Option<Period>,
    }

    /// Watch the new colour.
    #[derive(JsonSchema)]
    #[schemars(rename = "Bake", deny_unknown_fields)]
    pub(crate) struct BakeRecord {
        /// For how long.
        r#for: At<Period>,
        /// Largest share of answers 5xx that is tolerated, from 0 to 1 or in percent; 0.01 by default.
        max_errors: Option<Ratio>,
        /// Below this many answers the share is not judged; 20 by default.
        min_requests: Option<Count>,
    }

    /// What is kept of the old colour.
    #[derive(JsonSchema)]
    #[schemars(rename = "Retain", deny_unknown_fields)]
    pub(crate) struct RetainRecord {
        /// 1 keeps the old colour (the default here), 0 removes it.
        #[schemars(range(max = 1), extend("pattern" = r"^0*[01]$|\$"))]
        releases: Option<At<Count>>,
        /// Replicas it is kept with; 0 keeps it without tasks, absent keeps all running.
        scale: Option<Count>,
        /// It is removed after this long; absent, at the next deployment.
        r#for: Option<Period>,
    }
}

/// Host names: at least one, none twice.
#[derive(Debug, Clone)]
pub(crate) struct Hosts(pub Vec<String>);

impl Read for Hosts {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let hosts: Vec<At<Host>> = Vec::read(node, problems)?;
        if node.is_empty() {
            problems.report(&node.place, "there is no host", "name at least one");
        }
        let mut names: Vec<String> = Vec::new();
        for At { value: Host(name), place } in hosts {
            if names.contains(&name) {
                problems.report(
                    &place,
                    format!("`{name}` is given twice"),
                    "remove one of the two",
                );
            } else {
                names.push(name);
            }
        }
        Some(Self(names))
    }
}

impl JsonSchema for Hosts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hosts".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let host = generator.subschema_for::<Host>();
        schemars::json_schema!({
            "type": "array", "items": host, "minItems": 1, "uniqueItems": true,
        })
    }
}

/// `approve: true`, `approve: false`, or with its settings.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(crate) enum Approve {
    /// Ask or not.
    Asked(bool),
    /// Ask, and how.
    With(ApprovalRecord),
}

impl Read for Approve {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Table(_) => ApprovalRecord::read(node, problems).map(Self::With),
            _ => bool::read(node, problems).map(Self::Asked),
        }
    }
}

impl Leaf for Publish {
    const WHAT: &'static str = "a way to publish";
    const EXAMPLE: &'static str = "host";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "host" => Ok(Self::Host),
            "overlay" => Ok(Self::Overlay),
            _ => Err("it is neither `host` nor `overlay`".to_owned()),
        }
    }
}
