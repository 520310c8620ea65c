//! What load to make, and against what.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a client does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A connection per request.
    New,
    /// Keep-alive. Looks for an end of stream before each reuse, and retries nothing.
    Strict,
    /// Keep-alive. Sends an idempotent request once more when a reused connection ended before
    /// the first byte of its answer, as browsers, curl and Go do.
    Standard,
    /// A connection per request that takes [`Config::delay`] to answer.
    Slow,
    /// Answers that arrive line by line for [`Config::length`], one after the other.
    Stream,
    /// Web sockets of [`Config::length`], one after the other; each echoed message counts.
    Ws,
}

impl Kind {
    /// Every kind, in the order of reports.
    pub const ALL: [Self; 6] =
        [Self::New, Self::Strict, Self::Standard, Self::Slow, Self::Stream, Self::Ws];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::New => "new",
            Self::Strict => "strict",
            Self::Standard => "standard",
            Self::Slow => "slow",
            Self::Stream => "stream",
            Self::Ws => "ws",
        })
    }
}

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in reports.
    pub name: String,
    /// What to connect to.
    pub address: SocketAddr,
    /// The `Host` header, and the server name of TLS.
    pub host: String,
    /// The path of the service; streams are under `/stream` of it, web sockets under `/ws`.
    pub path: String,
    /// The authority (PEM) that signed the target's certificate; no TLS without.
    pub ca: Option<String>,
}

/// Clients of one kind. Each target gets so many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// What they do.
    pub kind: Kind,
    /// How many, per target.
    pub clients: usize,
    /// Requests (or WebSocket messages) per second of them all together, per target. Slow
    /// requests and streams follow one another without a pause instead.
    pub rate: f64,
}

/// The whole load.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where requests go.
    pub targets: Vec<Target>,
    /// Who sends them.
    pub groups: Vec<Group>,
    /// A request whose answer has not arrived whole by then is lost. A slow request has
    /// [`Config::delay`] on top; in a stream it bounds each silence.
    pub timeout: Duration,
    /// How long the service is asked to think about a slow request.
    pub delay: Duration,
    /// How long a stream or WebSocket lasts, in whole seconds.
    pub length: Duration,
    /// Kinds of clients whose every answer is kept in [`Report::answers`](crate::Report::answers).
    pub keep: Vec<Kind>,
    /// The header that tells who answered: colour.
    pub colour_header: String,
    /// The header that tells who answered: release.
    pub release_header: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            groups: Vec::new(),
            timeout: Duration::from_secs(10),
            delay: Duration::from_secs(1),
            length: Duration::from_secs(20),
            keep: Vec::new(),
            colour_header: "x-books-colour".to_owned(),
            release_header: "x-books-release".to_owned(),
        }
    }
}

/// A load that makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is nothing to ask.
    #[error("there is no target: name at least one")]
    NoTarget,
    /// There is nobody to ask.
    #[error("there are no clients: give at least one group some")]
    NoClients,
    /// A rate that is no rate.
    #[error("the rate of the {kind} clients is {rate}: it must be above 0")]
    Rate {
        /// Whose.
        kind: Kind,
        /// What was given.
        rate: f64,
    },
    /// Streams and web sockets are told their length in whole seconds.
    #[error("streams of {0:?} are not possible: give whole seconds, 1 or more")]
    Length(Duration),
    /// The authority of a target cannot be used.
    #[error("the authority of target `{target}` cannot be used: {problem}")]
    Authority {
        /// Which target.
        target: String,
        /// Why not.
        problem: String,
    },
    /// TLS needs a name to check.
    #[error("the host `{host}` of target `{target}` is no server name for TLS")]
    ServerName {
        /// Which target.
        target: String,
        /// Its host.
        host: String,
    },
}

impl Config {
    /// Whether this is a load that can be made.
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.targets.is_empty() {
            return Err(ConfigError::NoTarget);
        }
        if self.groups.iter().all(|group| group.clients == 0) {
            return Err(ConfigError::NoClients);
        }
        for &Group { kind, rate, .. } in &self.groups {
            if !rate.is_finite() || rate <= 0.0 {
                return Err(ConfigError::Rate { kind, rate });
            }
        }
        if self.length.as_secs() == 0 || self.length.subsec_nanos() != 0 {
            return Err(ConfigError::Length(self.length));
        }
        Ok(())
    }
}
