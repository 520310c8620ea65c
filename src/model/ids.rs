use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Colour;

/// The name of a service: a DNS label, because it becomes part of Swarm service names, of Consul
/// service names (and so of DNS names), of proxy backends and of file names.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct ServiceName(String);

/// Longest name: a Swarm service name has at most 63 characters and `-green` is appended.
const LONGEST: usize = 57;

impl ServiceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the Swarm service that runs `colour`.
    #[must_use]
    pub fn swarm_name(&self, colour: Colour) -> String {
        format!("{}-{colour}", self.0)
    }
}

/// The text cannot be a service name.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{name}` is not a service name: {why}; use up to {LONGEST} lower-case letters, digits and hyphens, starting with a letter"
)]
pub struct ParseNameError {
    name: String,
    why: &'static str,
}

impl FromStr for ServiceName {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why| Err(ParseNameError { name: text.to_owned(), why });
        if text.is_empty() {
            return wrong("it is empty");
        }
        if text.len() > LONGEST {
            return wrong("it is too long");
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return wrong("it does not start with a lower-case letter");
        }
        if text.ends_with('-') {
            return wrong("it ends with a hyphen");
        }
        if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
            return wrong("it has a character that is not allowed");
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ServiceName {
    type Error = ParseNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
