use std::error::Error;
use std::io;
use std::time::Duration;

use super::client::Client;
use super::layout::Layout;
use super::txn::Objection;
use crate::deploy::ports::{PortError, Trouble};

/// A call of Consul's HTTP API failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// No connection, or it broke.
    #[error("Consul at `{address}` cannot be reached")]
    Reach { address: String, source: reqwest::Error },
    /// It is silent.
    #[error("Consul at `{address}` did not answer within {}", humantime::format_duration(*.patience))]
    Silent { address: String, patience: Duration },
    /// It said no.
    #[error("Consul answered {status}: {words}")]
    Refused { status: u16, words: String },
    /// It did none of a transaction's operations.
    #[error("Consul refused the transaction: {}", words(.0))]
    RolledBack(Vec<Objection>),
    /// What is held is not what the caller has read.
    #[error("it was written by somebody else since it was read")]
    Changed,
    /// The session that had the lease is gone, and nobody else has had it.
    #[error("Consul has lost the session of the lease on the service")]
    SessionLost,
    /// The answer is not what Consul answers.
    #[error("the answer of `{address}` is not Consul's")]
    Nonsense { address: String, source: serde_json::Error },
    /// The answer goes on and on.
    #[error("the answer of `{address}` is larger than {limit} bytes")]
    Endless { address: String, limit: usize },
    /// What was to be sent cannot be.
    #[error("the request cannot be made")]
    Request(#[source] Box<dyn Error + Send + Sync>),
}

fn words(objections: &[Objection]) -> String {
    let mut words: Vec<&str> = objections.iter().map(|one| one.what.as_str()).collect();
    words.dedup();
    words.join("; ")
}

impl CallError {
    /// Somebody else has changed a key since it was read.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::RolledBack(objections)
            if !objections.is_empty() && objections.iter().all(Objection::is_stale))
    }

    /// Another daemon has taken the service over.
    pub(super) fn is_fenced(&self) -> bool {
        matches!(self, Self::RolledBack(objections) if objections.iter().any(Objection::is_fence))
    }

    /// Another session has the lock.
    pub(super) fn is_held(&self) -> bool {
        matches!(self, Self::RolledBack(objections) if objections.iter().any(Objection::is_held))
    }

    /// The token is missing, unknown, or without the right.
    pub(super) fn is_denied(&self) -> bool {
        match self {
            Self::Refused { status, .. } => matches!(status, 401 | 403),
            Self::RolledBack(objections) => objections.iter().any(Objection::is_denied),
            _ => false,
        }
    }

    pub(super) fn trouble(&self) -> Trouble {
        match self {
            _ if self.is_denied() => Trouble::Denied,
            Self::Reach { .. } | Self::Silent { .. } | Self::SessionLost => Trouble::Unreachable,
            // The servers have no leader, or the agent does not get through to them.
            Self::Refused { status, .. } if *status >= 500 || *status == 429 => {
                Trouble::Unreachable
            }
            Self::Refused { .. }
            | Self::Nonsense { .. }
            | Self::Endless { .. }
            | Self::Request(_) => Trouble::Invalid,
            Self::RolledBack(_) if self.is_fenced() => Trouble::Superseded,
            Self::RolledBack(_) if self.is_stale() || self.is_held() => Trouble::Conflict,
            Self::Changed => Trouble::Conflict,
            Self::RolledBack(_) => Trouble::Other,
        }
    }

    pub(super) fn remedy(&self, client: &Client, layout: &Layout) -> Option<String> {
        Some(match self {
            _ if self.is_denied() => Self::denied(client, layout),
            _ if self.is_stale() => "somebody else keeps changing the same keys: run one daemon per \
                                     prefix"
                .to_owned(),
            _ if self.is_fenced() => "the lease on the service is lost: another daemon has it, or \
                                      Consul was away for too long"
                .to_owned(),
            Self::SessionLost => "the lease is taken anew: see whether Consul was wiped, restored or \
                                  restarted"
                .to_owned(),
            Self::Reach { source, .. } if is_tls(source) => {
                "check the files in `[registry]`: `ca` is the authority of Consul's certificate, `cert` \
                 and `key` are ours, if Consul wants one"
                    .to_owned()
            }
            Self::Reach { address, .. } | Self::Silent { address, .. } => format!(
                "see that a Consul agent runs at `{address}`, or correct `[registry] address`"
            ),
            Self::Refused { .. } if self.trouble() == Trouble::Unreachable => {
                "see that the Consul servers are up and have a leader: `consul operator raft \
                 list-peers`"
                    .to_owned()
            }
            Self::Nonsense { .. } | Self::Endless { .. } | Self::Refused { .. } => format!(
                "see that `{}` is the address of Consul's HTTP API (`[registry] address`)",
                client.address()
            ),
            Self::Request(_) | Self::RolledBack(_) | Self::Changed => return None,
        })
    }

    /// As the failure of a port's operation.
    pub(super) fn port(
        self,
        operation: impl Into<String>,
        client: &Client,
        layout: &Layout,
    ) -> PortError {
        let remedy = self.remedy(client, layout);
        let mut error = PortError::new(self.trouble(), operation).because(self);
        error.remedy = remedy;
        error
    }

    /// What to do about a missing right.
    pub(super) fn denied(client: &Client, layout: &Layout) -> String {
        let token = client.token_file().map_or_else(
            || "name a file with an ACL token (`[registry] token_file`) that has".to_owned(),
            |file| format!("give the ACL token in `{}`", file.display()),
        );
        format!(
            "{token} these rights: write on `key_prefix \"{}/\"`, `node \"{}\"`, the services \
             (`service_prefix \"\"`) and sessions (`session_prefix \"\"`)",
            layout.prefix(),
            layout.node()
        )
    }
}

/// The two sides did not agree on certificates or protocol.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // An `io::Error` does not name what it wraps as its source, but that one's.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>()
        || wrapped.is_some_and(|error| is_tls(error))
        || error.source().is_some_and(is_tls)
}
