use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{Door, PortError, PortResult};
use crate::model::{Colour, DeploymentId, Gate, GatePoint, Instance, Release};

/// What a gate is told about the deployment.
#[derive(Clone)]
pub struct GateContext {
    /// The deployment.
    pub deployment: DeploymentId,
    /// When.
    pub point: GatePoint,
    /// The new release.
    pub release: Arc<Release>,
    /// Its colour.
    pub colour: Colour,
    /// The new instances as they were last seen; empty before they run.
    pub instances: Vec<Instance>,
    /// Sees where they are by now.
    pub sight: Arc<dyn Sight>,
    /// The public listeners; empty before the switch.
    pub doors: Vec<Door>,
}

/// Looks again for the instances of the new release: Swarm may replace one while a gate runs.
#[async_trait]
pub trait Sight: Send + Sync {
    /// The instances that there are now.
    async fn instances(&self) -> PortResult<Vec<Instance>>;
}

/// Why a gate did not pass.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// It ran and said no.
    #[error("{reason}")]
    Failed {
        /// What it said: `exit code 1`, `status 500 instead of 200 from 10.0.0.2:32768`.
        reason: String,
        /// The JUnit files that it wrote, which tell more.
        junit: Vec<JunitFile>,
    },
    /// It did not end within its timeout.
    #[error("not passed after {}", humantime::format_duration(*.0))]
    TimedOut(Duration),
    /// It could not be run at all.
    #[error(transparent)]
    NotRun(#[from] PortError),
}

/// Takes one line of a gate's output. A name of its own, because `async_trait` would give the `&str`
/// within a lifetime from outside, and no line that is read while the gate runs lives that long.
pub type Output<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Runs gates.
#[async_trait]
pub trait Gates: Send + Sync {
    /// Run `gate` to its end. Each line of output goes to `output` as it comes. Leaves nothing behind,
    /// also when `stop` fires (then it answers soon, with any error). JUnit files that the gate wrote are returned.
    async fn run(
        &self,
        gate: &Gate,
        context: &GateContext,
        output: Output<'_>,
        stop: &CancellationToken,
    ) -> Result<Vec<JunitFile>, GateError>;

    /// Remove whatever gates of `deployment` left behind (after a crash).
    async fn clean(&self, deployment: DeploymentId) -> PortResult<()>;

    /// Deployments whose gates have something there: at work, or left behind.
    async fn left(&self) -> PortResult<BTreeSet<DeploymentId>>;
}

/// A JUnit file that a test container wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JunitFile {
    /// File name.
    pub name: String,
    /// Its text.
    pub xml: String,
}
