use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Gate, GatePoint, RouteRule};

/// How a service is deployed: its `x-verdigris` block, validated, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Policy {
    /// The container port that serves traffic.
    pub port: u16,
    /// How an instance can be reached from outside its network.
    pub publish: Publish,
    /// How the public reaches the service; without one, nothing is rendered into proxies.
    pub route: Option<RouteRule>,
    /// The gates at each point.
    pub gates: Gates,
    /// How long every replica must stay running and healthy before the release counts as started.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub stable_for: Duration,
    /// Wait for a person before the switch.
    pub approve: Option<Approval>,
    /// Watch the new colour after the switch.
    pub bake: Option<Bake>,
    /// Longest wait for requests in flight on the old colour.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub drain: Duration,
    /// What is kept of the old colour.
    pub retain: Retain,
    /// The whole deployment is reverted when it has not committed after this long. The wait for an
    /// approval does not count: it has its own limit.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub deadline: Duration,
}

/// How an instance can be reached.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Publish {
    /// A random port of the node (`mode: host`).
    Host,
    /// The task's own address on a network that the proxies share.
    Overlay,
}

/// The gates of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Gates {
    /// Before anything of the release runs in production.
    pub pre_deployment: Vec<Gate>,
    /// Against the direct addresses.
    pub pre_integration: Vec<Gate>,
    /// Through the proxies.
    pub post_integration: Vec<Gate>,
}

impl Gates {
    /// The gates at `point`.
    #[must_use]
    pub fn at(&self, point: GatePoint) -> &[Gate] {
        match point {
            GatePoint::PreDeployment => &self.pre_deployment,
            GatePoint::PreIntegration => &self.pre_integration,
            GatePoint::PostIntegration => &self.post_integration,
        }
    }
}

/// Ask a person before the switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Approval {
    /// Nobody approved for this long: the deployment is reverted.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub expires: Duration,
}

/// Watch the new colour under public traffic before the commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Bake {
    /// For how long.
    #[serde(rename = "for", with = "humantime_serde")]
    #[schema(value_type = String)]
    pub duration: Duration,
    /// Largest share of answers 5xx that is tolerated, 0 to 1.
    pub max_errors: f64,
    /// Below this many answers the share is not judged.
    pub min_requests: u64,
}

/// What is kept of the old colour after the commit, so that a rollback is instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Retain {
    /// 0 removes the old colour, 1 keeps it. There are two colours, so never more than one.
    pub releases: u8,
    /// Replicas it is kept with: none keeps all running, 0 keeps the Swarm service without tasks.
    pub scale: Option<u32>,
    /// It is removed after this long; without one, at the next deployment.
    #[serde(rename = "for", with = "humantime_serde", default)]
    #[schema(value_type = Option<String>)]
    pub duration: Option<Duration>,
}
