use crate::deploy::control::{Refusal, RefusalKind};
use crate::model::ExitCode;

use super::DaemonAddress;

/// A call to the daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client")]
    Build(#[source] reqwest::Error),
    /// Nobody answers, or the answer breaks off.
    #[error("cannot reach the daemon at `{address}`: {why}")]
    Unreachable {
        /// Where it should be.
        address: DaemonAddress,
        /// What happened.
        why: String,
    },
    /// An order was not confirmed in time.
    #[error("the daemon at `{address}` did not answer within {seconds} s")]
    Silent {
        /// Where it is.
        address: DaemonAddress,
        /// How long it had.
        seconds: u64,
    },
    /// An event stream broke and could not be taken up again.
    #[error(
        "the connection to the daemon at `{address}` broke and did not come back within {seconds} s"
    )]
    Lost {
        /// Where it was.
        address: DaemonAddress,
        /// How long it was tried.
        seconds: u64,
        /// The last attempt.
        #[source]
        source: Box<ClientError>,
    },
    /// The daemon says no.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// Something else answers, or another version.
    #[error("what listens at `{address}` gave {what}")]
    Unexpected {
        /// Where.
        address: DaemonAddress,
        /// What came.
        what: String,
        /// It came from something between here and the daemon.
        between: bool,
    },
}

impl ClientError {
    /// The exit code of the command that made the call.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Lost { .. } => {
                ExitCode::Unreachable
            }
            Self::Unexpected { between: true, .. } => ExitCode::Unreachable,
            Self::Refused(refusal) => refusal.kind.exit_code(),
            Self::Build(_) | Self::Unexpected { .. } => ExitCode::Internal,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Unreachable { address, .. } | Self::Silent { address, .. } => Some(unreachable_remedy(address)),
            Self::Lost { .. } => {
                Some("the deployment goes on without this client, unless it was asked to revert; see whether the daemon runs".to_owned())
            }
            Self::Refused(refusal) => refusal.remedy.clone(),
            Self::Unexpected { .. } => {
                Some("see that `--daemon` names a Verdigris daemon of this version".to_owned())
            }
            Self::Build(_) => None,
        }
    }

    /// Trying again may help: nobody answers now, or the daemon is about to stop.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unexpected { between: true, .. } => true,
            Self::Refused(refusal) => {
                matches!(refusal.kind, RefusalKind::ShuttingDown | RefusalKind::Unreachable)
            }
            _ => false,
        }
    }
}

fn unreachable_remedy(address: &DaemonAddress) -> String {
    match address {
        DaemonAddress::Unix(_) => {
            "start it with `verdigris serve`, or say where it listens with `--daemon` \
             (`VERDIGRIS_DAEMON`); for a socket that is there, this user must be in its group"
        }
        DaemonAddress::Url(_) => {
            "see that `verdigris serve` runs there and listens on that address, or say where with \
             `--daemon` (`VERDIGRIS_DAEMON`)"
        }
    }
    .to_owned()
}
