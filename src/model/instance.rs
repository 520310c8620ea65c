use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Colour, ReleaseId, Route};

/// What the engine says of a task's health check.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Swarm reports the task running. A task with a health check is only then reported running when
    /// its check has passed.
    Healthy,
    /// Not, or not yet.
    Unhealthy,
}

/// Where a Swarm task is in its life, as far as a deployment cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskState {
    /// Everything before running: pending, assigned, preparing, starting (health check not passed).
    Starting,
    /// Running (and healthy, if it has a health check).
    Running,
    /// Ended although it should run: failed, rejected, orphaned, or exited with whatever code.
    Failed,
    /// Ended because it was asked to.
    Stopped,
}

/// A Swarm task as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Task {
    /// Swarm's task id.
    pub id: String,
    /// Slot for replicated services, for telling a replacement from a new replica.
    pub slot: i64,
    /// Host name of its node.
    pub node: String,
    /// Where it is in its life.
    pub state: TaskState,
    /// Swarm rejected it (image missing, node unfit): it never ran.
    pub rejected: bool,
    /// Swarm wants it to run (false: it is being shut down or was replaced).
    pub wanted: bool,
    /// The error Swarm reports, empty if none.
    pub error: String,
    /// Exit code of its container, when it ended.
    pub exit_code: Option<i64>,
    /// Container id, when there is one.
    pub container: Option<String>,
    /// Version index of the service spec it was made from is the current one.
    pub current: bool,
    /// Where it answers on the service's port, once known.
    #[schema(value_type = Option<String>)]
    pub address: Option<SocketAddr>,
}

/// One running task of a colour.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct Instance {
    /// Swarm's task id.
    pub task: String,
    /// Host name of its node.
    pub node: String,
    /// Where it answers.
    #[schema(value_type = String)]
    pub address: SocketAddr,
}

/// Whether a registered instance's colour gets public traffic.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It does.
    Live,
    /// It does not.
    Idle,
}

impl Standing {
    /// The tag in the registry.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Idle => "idle",
        }
    }
}

/// One instance as the registry holds it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
pub struct Registration {
    /// The instance.
    pub instance: Instance,
    /// Its colour.
    pub colour: Colour,
    /// Tagged `live` or `idle`.
    pub standing: Standing,
    /// The release it runs.
    pub release: ReleaseId,
    /// The pinned image it runs, `repository@digest`.
    pub image: String,
}

/// All that the registry holds of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServiceRecord {
    /// Instances by task id.
    pub instances: BTreeMap<String, Registration>,
    /// The bare colour for scripts: the last committed one.
    pub colour: Option<Colour>,
    /// The route document.
    pub route: Option<Route>,
}

impl ServiceRecord {
    /// Nothing is known of the service.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.colour.is_none() && self.route.is_none()
    }

    /// The registrations of `colour`.
    pub fn of(&self, colour: Colour) -> impl Iterator<Item = &Registration> {
        self.instances.values().filter(move |entry| entry.colour == colour)
    }
}
