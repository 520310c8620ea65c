//! What the daemon can be asked, by the API and nothing else.

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::ports::{Origin, PortError, Trouble};
use crate::model::{
    DeploymentId, DeploymentView, Event, ExitCode, Plan, Request, ServiceName, Status,
};

/// Why a request was not taken.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, utoipa::ToSchema,
)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal.
    pub kind: RefusalKind,
    /// What, where and why, in one line.
    pub message: String,
    /// Further lines worth showing.
    #[serde(default)]
    pub details: Vec<String>,
    /// The way out.
    #[serde(default)]
    pub remedy: Option<String>,
    /// The deployment that stands in the way.
    #[serde(default)]
    pub deployment: Option<DeploymentId>,
}

/// The kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// The request makes no sense (HTTP 400, exit 2).
    Invalid,
    /// There is no such service, deployment, proxy (404, exit 2).
    Unknown,
    /// Another deployment of the service is under way, here or by another daemon (409, exit 30).
    Busy,
    /// A newer one was accepted already (409, exit 31).
    OutOfSequence,
    /// The deployment is not in a state that allows it: nothing waits for approval, it has ended or
    /// has committed (409, exit 30).
    WrongState,
    /// Swarm or registry cannot be reached, or does not do what it is asked (503, exit 41).
    Unreachable,
    /// A proxy cannot say what it has (502, exit 13).
    Proxy,
    /// The daemon is shutting down (503, exit 41).
    ShuttingDown,
    /// No token was sent, or one that is not known (401, exit 2).
    Unauthenticated,
    /// The token does not allow this (403, exit 2).
    Forbidden,
    /// A defect, or the daemon cannot read or write its own journal (500, exit 1).
    Internal,
}

impl RefusalKind {
    /// The exit code of the command that was refused.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Invalid | Self::Unknown | Self::Unauthenticated | Self::Forbidden => {
                ExitCode::Invalid
            }
            Self::Busy | Self::WrongState => ExitCode::Locked,
            Self::OutOfSequence => ExitCode::Superseded,
            Self::Unreachable | Self::ShuttingDown => ExitCode::Unreachable,
            Self::Proxy => ExitCode::Proxy,
            Self::Internal => ExitCode::Internal,
        }
    }
}

impl Refusal {
    /// A refusal of `kind`, with nothing but its message.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), details: Vec::new(), remedy: None, deployment: None }
    }

    /// With the way out.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl From<PortError> for Refusal {
    fn from(error: PortError) -> Self {
        let kind = cause(&error);
        let message = error.chain();
        Self { kind, message, details: error.details, remedy: error.remedy, deployment: None }
    }
}

/// What `error` comes from decides, as it does where a deployment fails.
fn cause(error: &PortError) -> RefusalKind {
    match (error.trouble, error.origin) {
        (Trouble::NotFound | Trouble::Denied | Trouble::Invalid, _) => RefusalKind::Invalid,
        // Somebody else was quicker.
        (Trouble::Superseded | Trouble::Conflict, _) => RefusalKind::Busy,
        (Trouble::Unreachable | Trouble::Other, Some(Origin::Proxy)) => RefusalKind::Proxy,
        (Trouble::Other, Some(Origin::Journal)) => RefusalKind::Internal,
        // An engine or a registry that answers with a failure of its own is as good as away.
        (Trouble::Unreachable, _) | (Trouble::Other, Some(Origin::Registry) | None) => {
            RefusalKind::Unreachable
        }
    }
}

/// A request was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Submitted {
    /// The deployment to follow.
    pub deployment: DeploymentId,
    /// The very same was under way already: the client follows that one.
    pub attached: bool,
}

/// One thing that `doctor` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Finding {
    /// What was looked at: `engine`, `swarm`, `registry`, `proxy edge-nginx`.
    pub subject: String,
    /// How bad it is.
    pub severity: Severity,
    /// What was found.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Good,
    /// Works, with a limit worth knowing.
    Warning,
    /// Deployments will fail.
    Bad,
}

/// A proxy's configuration as its template renders it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Rendered {
    /// The proxy.
    pub proxy: String,
    /// The text; none when the template fails.
    pub text: Option<String>,
    /// What is in force; none when there is no file yet.
    #[serde(default)]
    pub current: Option<String>,
    /// It differs from what is in force.
    pub differs: bool,
    /// Why it would not go live: template error with file, line and column, or the checker's words.
    pub problem: Option<String>,
}

/// The daemon as its API sees it.
#[async_trait]
pub trait Control: Send + Sync {
    /// Take a request; waits only for what decides whether it is taken.
    async fn submit(&self, request: Request) -> Result<Submitted, Refusal>;

    /// What `submit` of the same would do.
    async fn plan(&self, request: Request) -> Result<Plan, Refusal>;

    /// Stop a deployment that has not committed, and revert it. Done already: fine.
    async fn abort(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal>;

    /// Let a deployment that waits for approval go on.
    async fn approve(&self, id: DeploymentId, by: &str) -> Result<(), Refusal>;

    /// Revert a deployment that waits for approval.
    async fn reject(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal>;

    /// Take up a stuck deployment again.
    async fn retry(&self, id: DeploymentId, by: &str) -> Result<(), Refusal>;

    /// One deployment.
    async fn deployment(&self, id: DeploymentId) -> Result<DeploymentView, Refusal>;

    /// The newest `limit` deployments of one service or of all, newest first.
    async fn history(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal>;

    /// The newest `limit` deployments of `service` that committed, newest first.
    async fn committed(
        &self,
        service: &ServiceName,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal>;

    /// The deployments that are stuck.
    async fn stuck(&self) -> Result<Vec<DeploymentView>, Refusal>;

    /// Everything that happened in a deployment so far.
    async fn events(&self, id: DeploymentId) -> Result<Vec<Event>, Refusal>;

    /// Everything that happened in a deployment after event `after`, then what happens, until its end.
    async fn follow(
        &self,
        id: DeploymentId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Event>, Refusal>;

    /// Everything that happens in any deployment from now on.
    fn watch(&self) -> BoxStream<'static, Event>;

    /// The same without what gates write and notes on progress, for whoever must miss nothing else.
    fn news(&self) -> BoxStream<'static, Event>;

    /// Services and proxies as they stand; of one service when named.
    async fn status(&self, service: Option<&ServiceName>) -> Result<Status, Refusal>;

    /// A proxy's configuration as its template renders it now; nothing is changed.
    async fn render(&self, proxy: &str) -> Result<Rendered, Refusal>;

    /// Look at everything that deployments need.
    async fn doctor(&self) -> Vec<Finding>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(trouble: Trouble, origin: Option<Origin>) -> ExitCode {
        let mut error = PortError::new(trouble, "do it");
        error.origin = origin;
        Refusal::from(error).kind.exit_code()
    }

    #[test]
    fn what_was_asked_in_vain_decides_the_exit_code() {
        let (registry, proxy, journal) =
            (Some(Origin::Registry), Some(Origin::Proxy), Some(Origin::Journal));
        for (trouble, origin, expected) in [
            // The engine, or the registry of images.
            (Trouble::Other, None, ExitCode::Unreachable),
            (Trouble::Unreachable, None, ExitCode::Unreachable),
            (Trouble::Conflict, None, ExitCode::Locked),
            (Trouble::Other, registry, ExitCode::Unreachable),
            (Trouble::Unreachable, registry, ExitCode::Unreachable),
            (Trouble::Conflict, registry, ExitCode::Locked),
            (Trouble::Superseded, registry, ExitCode::Locked),
            (Trouble::Other, proxy, ExitCode::Proxy),
            (Trouble::Unreachable, proxy, ExitCode::Proxy),
            (Trouble::Other, journal, ExitCode::Internal),
            (Trouble::Unreachable, journal, ExitCode::Unreachable),
            (Trouble::Invalid, None, ExitCode::Invalid),
            (Trouble::Denied, registry, ExitCode::Invalid),
        ] {
            assert_eq!(code(trouble, origin), expected, "{trouble:?} {origin:?}");
        }
    }
}
