use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Colour, ServiceName};

/// What public requests belong to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RouteRule {
    /// Host names, at least one, lower case.
    pub hosts: Vec<String>,
    /// Path prefix, `/` for everything. A prefix matches whole segments.
    pub path: String,
    /// Served on 443 as well as on 80.
    pub tls: bool,
}

/// The route document: what the registry holds and the keepers make true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Route {
    /// Grows by one with each switch; a revert puts the old document back, number included.
    pub generation: u64,
    /// The rule; none when the service has no public route.
    pub rule: Option<RouteRule>,
    /// The rule before it, until the switch to this one is committed: a revert needs it back, so nobody else
    /// may have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gives_up: Option<RouteRule>,
    /// Share of the public traffic per colour, in percent; sums to 100.
    pub weights: BTreeMap<Colour, u8>,
    /// The release that each colour with traffic runs.
    pub releases: BTreeMap<Colour, String>,
}

impl Route {
    /// The colour that gets all of the traffic, if one does.
    #[must_use]
    pub fn live(&self) -> Option<Colour> {
        self.weights.iter().find(|(_, weight)| **weight == 100).map(|(colour, _)| *colour)
    }
}

/// One instance as a proxy sees it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct Backend {
    /// The Swarm task id: names the server in the proxy.
    pub task: String,
    /// Where it answers.
    #[schema(value_type = String)]
    pub address: SocketAddr,
}

/// One service as the proxies see it: what a template is rendered from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServiceView {
    /// Its name.
    pub service: ServiceName,
    /// What belongs to it.
    pub rule: RouteRule,
    /// The colour that public requests go to; none before the first switch: they are refused (503).
    pub live: Option<Colour>,
    /// Generation of the route document that this follows.
    pub generation: u64,
    /// Instances per colour, sorted; a colour that is absent has none.
    pub backends: BTreeMap<Colour, Vec<Backend>>,
}

impl ServiceView {
    /// The instances of `colour`.
    #[must_use]
    pub fn of(&self, colour: Colour) -> &[Backend] {
        self.backends.get(&colour).map_or(&[], Vec::as_slice)
    }
}
