//! Why a request was lost.

use std::error::Error;
use std::fmt;
use std::io;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

/// The kinds of reasons, as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The connection was refused, or could not be made for another reason.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The connection was reset.
    Reset,
    /// The connection ended before the first byte of the answer.
    EofBeforeAnswer,
    /// The connection ended within the answer.
    EofInAnswer,
    /// The answer did not arrive in time; of a stream: it went silent.
    Timeout,
    /// A 4xx answer.
    Status4xx,
    /// A 5xx answer that whoever serves made itself.
    Status5xx,
    /// A 502, 503 or 504: a proxy's answer when it got none.
    Unserved,
    /// An answer that is not what was asked for.
    Wrong,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Reset => "reset",
            Self::EofBeforeAnswer => "eof-before-answer",
            Self::EofInAnswer => "eof-in-answer",
            Self::Timeout => "timeout",
            Self::Status4xx => "status4xx",
            Self::Status5xx => "status5xx",
            Self::Unserved => "unserved",
            Self::Wrong => "wrong",
        })
    }
}

/// One lost request: the reason, and what exactly happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// As it is counted.
    pub reason: Reason,
    /// In words.
    pub detail: String,
}

impl Loss {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(crate) fn connect(error: &io::Error) -> Self {
        Self::new(Reason::Connect, error.to_string())
    }

    pub(crate) fn timeout(what: &str) -> Self {
        Self::new(Reason::Timeout, what)
    }

    /// A failure on a connection that stood. `answering`: the answer had begun.
    pub(crate) fn broken(error: &(dyn Error + 'static), answering: bool) -> Self {
        let reason = match io_kind(error) {
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Reason::Reset,
            _ if unparsable(error) => Reason::Wrong,
            _ if answering => Reason::EofInAnswer,
            Some(_) => Reason::Reset,
            None => Reason::EofBeforeAnswer,
        };
        Self::new(reason, chain(error))
    }

    /// The loss that a status means, if it means one.
    pub(crate) fn status(status: StatusCode) -> Option<Self> {
        let reason = match status.as_u16() {
            400..500 => Reason::Status4xx,
            502..=504 => Reason::Unserved,
            500.. => Reason::Status5xx,
            _ => return None,
        };
        Some(Self::new(reason, status.to_string()))
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.detail)
    }
}

/// The kind of the I/O error at the bottom, if there is one. An unexpected end of file is none: it
/// is how TLS tells that the connection ended.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    sources(error)
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .find(|kind| *kind != io::ErrorKind::UnexpectedEof)
}

fn unparsable(error: &(dyn Error + 'static)) -> bool {
    sources(error)
        .filter_map(|error| error.downcast_ref::<hyper::Error>())
        .any(|error| error.is_parse() && !error.is_incomplete_message())
}

fn chain(error: &(dyn Error + 'static)) -> String {
    sources(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The error, its source, the source of that, and so on.
fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.source();
        Some(current)
    })
}
