use serde::{Deserialize, Serialize};

use super::Step;

/// What kind of thing went wrong; decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Invalid input found by the daemon; nothing was touched.
    Invalid,
    /// The release did not start or did not stay healthy, or could not be prepared (image, network, …).
    Start,
    /// A pre-deployment or pre-integration gate failed.
    PreGate,
    /// A post-integration gate or the bake failed.
    PostGate,
    /// A proxy could not be staged, flipped or proved.
    Proxy,
    /// Approval was rejected or has expired.
    Approval,
    /// The deadline passed.
    Deadline,
    /// The Docker engine, the Swarm or the registry cannot be reached, or the registry refuses what it is
    /// asked.
    Unreachable,
    /// A person or the client asked for it.
    Aborted,
    /// A newer deployment of the service took over.
    Superseded,
    /// A defect of Verdigris itself.
    Internal,
}

/// Why a step did not succeed, as it is journalled and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failure {
    /// The step that failed.
    pub step: Step,
    /// The kind.
    pub kind: FailureKind,
    /// One line: what failed, where and why.
    pub message: String,
    /// Task errors, last log lines, the checker's words: one line each.
    #[serde(default)]
    pub details: Vec<String>,
    /// What to do about it, when that is known.
    #[serde(default)]
    pub remedy: Option<String>,
}

/// Exit codes of the command line (a contract: see `verdigris deploy --help`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum ExitCode {
    /// Committed, or that very release is live already.
    Success = 0,
    /// A defect.
    Internal = 1,
    /// Usage, or invalid stack file or configuration; nothing was touched.
    Invalid = 2,
    /// Start or health failed; reverted.
    Start = 10,
    /// A pre-deployment or pre-integration gate failed; reverted.
    PreGate = 11,
    /// A post-integration gate failed; reverted.
    PostGate = 12,
    /// A proxy failed; reverted.
    Proxy = 13,
    /// The revert failed; a person is needed.
    Stuck = 20,
    /// The service is locked by another deployment.
    Locked = 30,
    /// Superseded, or out of sequence.
    Superseded = 31,
    /// Approval rejected or expired; reverted.
    Approval = 32,
    /// The deadline passed; reverted.
    Deadline = 40,
    /// Daemon, Swarm or registry unreachable.
    Unreachable = 41,
    /// Aborted; reverted.
    Aborted = 50,
}

impl FailureKind {
    /// The exit code of a deployment that was reverted for this.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Invalid => ExitCode::Invalid,
            Self::Start => ExitCode::Start,
            Self::PreGate => ExitCode::PreGate,
            Self::PostGate => ExitCode::PostGate,
            Self::Proxy => ExitCode::Proxy,
            Self::Approval => ExitCode::Approval,
            Self::Deadline => ExitCode::Deadline,
            Self::Unreachable => ExitCode::Unreachable,
            Self::Aborted => ExitCode::Aborted,
            Self::Superseded => ExitCode::Superseded,
            Self::Internal => ExitCode::Internal,
        }
    }
}
