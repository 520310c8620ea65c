use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Duration;

use super::ParseEndpointError;
use crate::deploy::ports::{PortError, Trouble};
use crate::tls::TlsError;

/// What an engine says that is asked for Swarm things and is no manager.
pub const NOT_A_MANAGER: &str = "is not a swarm manager";

/// The Docker engine could not be asked, or said no.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings do not say where it is.
    #[error(transparent)]
    Endpoint(#[from] ParseEndpointError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody answers, or the connection broke.
    #[error("the Docker engine at `{host}` cannot be reached")]
    Unreachable {
        /// Where.
        host: String,
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// It took the request and did not answer.
    #[error("the Docker engine at `{host}` did not answer within {}", humantime::format_duration(*limit))]
    Silent {
        /// Where.
        host: String,
        /// For so long.
        limit: Duration,
    },
    /// It answered, with an error of its own.
    #[error("{message} (HTTP {status})")]
    Refused {
        /// The status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// Its answer makes no sense.
    #[error("the Docker engine's answer to `{path}` is not understood")]
    Answer {
        /// What was asked for.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The request itself cannot be written.
    #[error("a request for `{path}` cannot be made")]
    Request {
        /// What was to be asked for.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// An answer is larger than anything that makes sense.
    #[error("the Docker engine's answer to `{path}` is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        path: String,
        /// The most that is read.
        limit: usize,
    },
    /// The Docker configuration file is there and cannot be used. Never names what stands in it.
    #[error("cannot read the credentials for `{registry}` in `{}`: {why}", file.display())]
    Credentials {
        /// The registry of images.
        registry: String,
        /// The file.
        file: PathBuf,
        /// Why.
        why: String,
    },
}

impl Error {
    /// The status that the engine answered with, if it did.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The kind of trouble that this is.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => Trouble::Unreachable,
            Self::Endpoint(_) | Self::Tls(_) | Self::Request { .. } | Self::Credentials { .. } => {
                Trouble::Invalid
            }
            Self::Answer { .. } | Self::TooLarge { .. } => Trouble::Other,
            Self::Refused { status, message } => of_refusal(*status, message),
        }
    }

    /// As an error of a port, with the way out where one is known.
    #[must_use]
    pub fn during(self, operation: impl Into<String>) -> PortError {
        let error = PortError::new(self.trouble(), operation);
        let remedy = self.remedy();
        let error = error.because(self);
        match remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Unreachable { host, .. } | Self::Silent { host, .. } => Some(format!(
                "see that the engine runs and that `docker -H {host} info` works here"
            )),
            Self::Refused { message, .. } if message.contains(NOT_A_MANAGER) => Some(
                "run `docker swarm init` there, or point `[swarm] host` at a manager".to_owned(),
            ),
            Self::Credentials { file, .. } => {
                Some(format!("mend `{}`, or log in again with `docker login`", file.display()))
            }
            _ => None,
        }
    }
}

/// The engine passes on errors of the Swarm's managers with status 500 or 503 and only words to tell
/// them apart.
fn of_refusal(status: u16, message: &str) -> Trouble {
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&[NOT_A_MANAGER]) {
        return Trouble::Invalid;
    }
    if says(&["update out of sequence"]) {
        return Trouble::Conflict;
    }
    match status {
        400 => Trouble::Invalid,
        401 | 403 => Trouble::Denied,
        404 => Trouble::NotFound,
        409 => Trouble::Conflict,
        503 => Trouble::Unreachable,
        _ if says(&[
            "does not have a leader",
            "code = Unavailable",
            "DeadlineExceeded",
            "deadline exceeded",
        ]) =>
        {
            Trouble::Unreachable
        }
        _ => Trouble::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> Error {
        Error::Refused { status, message: message.to_owned() }
    }

    #[test]
    fn words_decide_where_the_status_does_not() {
        let stale = refused(500, "rpc error: code = Unknown desc = update out of sequence");
        assert_eq!(stale.trouble(), Trouble::Conflict);
        let electing =
            refused(500, "rpc error: code = Unknown desc = The swarm does not have a leader.");
        assert_eq!(electing.trouble(), Trouble::Unreachable);
        assert_eq!(refused(500, "boom").trouble(), Trouble::Other);
    }

    #[test]
    fn a_lone_engine_is_told_how_to_become_a_manager() {
        let error = refused(503, "This node is not a swarm manager. Use \"docker swarm init\" …")
            .during("list services");
        assert_eq!(error.trouble, Trouble::Invalid);
        assert!(error.remedy.unwrap().contains("docker swarm init"));
    }
}
