use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Draft, ExitCode, Failure, FailureKind, GatePoint, ServiceName};

/// Identifies a deployment; ids sort by the time they were made.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct DeploymentId(#[serde(with = "uuid::serde::simple")] Uuid);

impl DeploymentId {
    /// A new id.
    #[must_use]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// A new id that sorts after `last`, whatever the wall clock says.
    #[must_use]
    pub fn after(last: Option<Self>) -> Self {
        let new = Self::new();
        let Some(last) = last.filter(|last| *last >= new) else { return new };
        // Its time is a millisecond after that of `last`; version and random bits are its own.
        let rest = new.0.as_u128() & ((1 << NOT_TIME) - 1);
        let time = (last.0.as_u128() >> NOT_TIME) + 1;
        Self(Uuid::from_u128(time << NOT_TIME | rest))
    }
}

/// The bits of an id that follow its time (milliseconds in the first 48).
const NOT_TIME: u32 = 80;

impl Default for DeploymentId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

impl FromStr for DeploymentId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What a deployment is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase", tag = "kind")]
#[allow(clippy::large_enum_variant, reason = "one per deployment")]
pub enum Kind {
    /// Make a new release live.
    Deploy {
        /// The release as asked for.
        draft: Draft,
    },
    /// Make the recorded previous release live again. Gates are not run, it has passed them once;
    /// nobody is asked for approval, and it does not bake.
    Rollback {
        /// The service.
        service: ServiceName,
        /// This release instead of the previous one.
        release: Option<String>,
    },
}

/// What to do when another deployment of the service is under way.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum OnBusy {
    /// Refuse (exit 30).
    #[default]
    Refuse,
    /// Wait for its end.
    Wait,
    /// Abort it, wait for its revert, then go on. One that commits already is awaited instead.
    Supersede,
}

/// What to do when the client that waits for a deployment is gone.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum OnDisconnect {
    /// Go on: the daemon owns the deployment.
    #[default]
    Continue,
    /// Abort.
    Revert,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Request {
    /// What for.
    #[serde(flatten)]
    pub kind: Kind,
    /// Position in the order of commits: a lower one than the last accepted is refused (exit 31), a
    /// higher one supersedes what is under way with a sequence; about the rest `on_busy` decides.
    #[serde(default)]
    pub sequence: Option<u64>,
    /// When another deployment of the service is under way.
    #[serde(default)]
    pub on_busy: OnBusy,
    /// When the waiting client vanishes.
    #[serde(default)]
    pub on_disconnect: OnDisconnect,
    /// Replaces the stack file's deadline.
    #[serde(default, with = "humantime_serde")]
    #[schema(value_type = Option<String>)]
    pub deadline: Option<Duration>,
    /// Deploy although that very release is live already.
    #[serde(default)]
    pub force: bool,
    /// Who asks, for the log: `user@host`, a job's name.
    #[serde(default)]
    pub by: String,
}

impl Request {
    /// The service it is about.
    #[must_use]
    pub fn service(&self) -> &ServiceName {
        match &self.kind {
            Kind::Deploy { draft } => &draft.service,
            Kind::Rollback { service, .. } => service,
        }
    }
}

/// The steps of the flow, in their order.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Validate, resolve, preflight, take the *before* snapshot.
    Prepare,
    /// Gates on the CI engine.
    PreDeployment,
    /// Create or update the idle colour's Swarm service.
    Start,
    /// Every replica running, healthy and stable.
    Await,
    /// Instances into the registry, as idle.
    Register,
    /// Instances into the proxies' idle colour, without public effect.
    Stage,
    /// Gates against the direct addresses; runs beside register and stage.
    PreIntegration,
    /// A person decides.
    Approve,
    /// The route moves: published, flipped, proved.
    Switch,
    /// Gates through every proxy.
    PostIntegration,
    /// Watch the new colour under public traffic.
    Bake,
    /// Point of no return: the new colour is recorded as live.
    Commit,
    /// No request in flight on the old colour.
    Drain,
    /// The old colour is removed or kept aside.
    Retire,
}

impl Step {
    /// All steps in their order.
    pub const ALL: [Self; 14] = [
        Self::Prepare,
        Self::PreDeployment,
        Self::Start,
        Self::Await,
        Self::Register,
        Self::Stage,
        Self::PreIntegration,
        Self::Approve,
        Self::Switch,
        Self::PostIntegration,
        Self::Bake,
        Self::Commit,
        Self::Drain,
        Self::Retire,
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::PreDeployment => "pre-deployment",
            Self::Start => "start",
            Self::Await => "await",
            Self::Register => "register",
            Self::Stage => "stage",
            Self::PreIntegration => "pre-integration",
            Self::Approve => "approve",
            Self::Switch => "switch",
            Self::PostIntegration => "post-integration",
            Self::Bake => "bake",
            Self::Commit => "commit",
            Self::Drain => "drain",
            Self::Retire => "retire",
        }
    }

    /// The gate point that this step runs, if it runs one.
    #[must_use]
    pub fn gate_point(self) -> Option<GatePoint> {
        match self {
            Self::PreDeployment => Some(GatePoint::PreDeployment),
            Self::PreIntegration => Some(GatePoint::PreIntegration),
            Self::PostIntegration => Some(GatePoint::PostIntegration),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|step| step.as_str() == text);
        known.ok_or_else(|| format!("`{text}` is not a step"))
    }
}

/// Where a deployment stands as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Under way, before the commit.
    Deploying,
    /// Waits for a person's approval.
    Waiting,
    /// Something failed or it was aborted: being undone.
    Reverting,
    /// Committed; the old colour drains and is retired.
    Finishing,
    /// At its end.
    Ended,
}

/// The ends of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase", tag = "end")]
pub enum Outcome {
    /// The new release is live.
    Committed,
    /// That very release was live already; nothing was done.
    Unchanged,
    /// All is as it was before.
    Reverted {
        /// Why.
        failure: Failure,
    },
    /// A revert or a retire could not finish; a person is needed.
    Stuck {
        /// What made the deployment fail, if it was being reverted.
        failure: Option<Failure>,
        /// What could not be undone or finished.
        problem: Failure,
    },
}

impl Outcome {
    /// The exit code of a `deploy` that waited for this end.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Committed | Self::Unchanged => ExitCode::Success,
            Self::Reverted { failure } => failure.kind.exit_code(),
            Self::Stuck { .. } => ExitCode::Stuck,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Unchanged => "unchanged",
            Self::Reverted { failure } if failure.kind == FailureKind::Invalid => "refused",
            Self::Reverted { .. } => "reverted",
            Self::Stuck { .. } => "stuck",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_their_making_also_when_the_clock_goes_back() {
        let ahead = DeploymentId(Uuid::from_u128(DeploymentId::new().0.as_u128() + (1 << 100)));
        let next = DeploymentId::after(Some(ahead));
        assert!(next > ahead);
        assert_eq!(next.0.get_version_num(), 7);
        assert!(DeploymentId::after(Some(next)) > next);
        let now = DeploymentId::new();
        assert!(DeploymentId::after(Some(now)) > now);
        assert_eq!(next.to_string().parse::<DeploymentId>().unwrap(), next);
    }
}
