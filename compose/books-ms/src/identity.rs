//! Which release and colour this instance is: told by whoever deployed it.

use std::fmt;

/// Sent with every answer, so that a client sees what served it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The release, as the deployer injected it; `unknown` when nobody did.
    pub release: String,
    /// `blue` or `green`, as the deployer injected it; `none` when nobody did.
    pub colour: String,
    /// Free text baked into the image, to tell two builds apart.
    pub edition: String,
    /// The container's host name.
    pub hostname: String,
}

impl Identity {
    /// Reads `VERDIGRIS_RELEASE`, `VERDIGRIS_COLOUR`, `BOOKS_EDITION` and the host name.
    pub fn from_environment() -> Self {
        Self {
            release: variable("VERDIGRIS_RELEASE", "unknown"),
            colour: variable("VERDIGRIS_COLOUR", "none"),
            edition: variable("BOOKS_EDITION", "first"),
            hostname: hostname(),
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "edition {}, release {}, {}", self.edition, self.release, self.colour)
    }
}

fn variable(name: &str, otherwise: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => otherwise.to_owned(),
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}
