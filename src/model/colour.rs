use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One of the two places that a release of a service can run in.
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
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// The colour that a service's first release gets.
    Blue,
    /// The other one.
    Green,
}

impl Colour {
    /// Both colours, in the order in which they are shown.
    pub const BOTH: [Self; 2] = [Self::Blue, Self::Green];

    /// The other colour.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Blue => Self::Green,
            Self::Green => Self::Blue,
        }
    }

    /// The bare word, as scripts read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Green => "green",
        }
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is neither `blue` nor `green`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a colour: it is `blue` or `green`")]
pub struct ParseColourError(String);

impl FromStr for Colour {
    type Err = ParseColourError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::BOTH
            .into_iter()
            .find(|colour| colour.as_str() == text)
            .ok_or_else(|| ParseColourError(text.to_owned()))
    }
}
