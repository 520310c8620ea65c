use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use super::ImageRef;

/// When in the flow a gate decides.
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
#[serde(rename_all = "kebab-case")]
pub enum GatePoint {
    /// Before anything of the new release runs in production; on the CI engine.
    PreDeployment,
    /// Against the direct addresses of the new instances.
    PreIntegration,
    /// Through every proxy, on 80 and 443, after the switch.
    PostIntegration,
}

impl GatePoint {
    /// The word as it stands in `TEST_TYPE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreDeployment => "pre-deployment",
            Self::PreIntegration => "pre-integration",
            Self::PostIntegration => "post-integration",
        }
    }
}

impl fmt::Display for GatePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A check that decides whether a deployment goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Gate {
    /// How it is called in output and JUnit; unique within its point.
    pub name: String,
    /// What it does.
    pub check: Check,
    /// It fails when it has not passed after this long, and what it started is killed.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = String)]
    pub timeout: Duration,
}

/// The three kinds of gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Run a container to its end; exit code 0 passes.
    Container(ContainerCheck),
    /// Ask over HTTP.
    Http(HttpCheck),
    /// Run a command where the daemon runs; exit code 0 passes.
    Command(CommandCheck),
}

/// A container gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ContainerCheck {
    /// The test image.
    pub image: ImageRef,
    /// Replaces the image's entrypoint.
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Added to the environment that every gate gets.
    pub env: BTreeMap<String, String>,
    /// Networks to join besides the default one; `host` gives it the engine's own network.
    pub networks: Vec<String>,
}

/// An HTTP gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HttpCheck {
    /// Method, `GET` unless said.
    pub method: String,
    /// Whom it asks, and for what.
    #[serde(flatten)]
    pub asked: Asked,
    /// The status that passes.
    pub status: u16,
    /// Text that the body must contain.
    pub body: Option<String>,
    /// Headers sent.
    pub headers: BTreeMap<String, String>,
    /// Longest time an answer may take, to its last byte.
    #[serde(with = "humantime_serde", default)]
    #[schema(value_type = Option<String>)]
    pub max_time: Option<Duration>,
    /// How many times in all it may be tried before it fails; 1 unless said.
    pub attempts: u32,
}

/// Whom an HTTP gate asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged, expecting = "an HTTP gate asks for a `path` of the release, or for a `url`")]
pub enum Asked {
    /// The new release: every instance before the switch; every proxy on 80 and 443 after it.
    Release {
        /// Path and query.
        path: String,
    },
    /// Somebody else, on whom the release depends.
    Elsewhere {
        /// An absolute URL.
        #[schema(value_type = String)]
        url: Url,
    },
}

impl Asked {
    /// What is asked for, as the stack file says it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Release { path } => path,
            Self::Elsewhere { url } => url.as_str(),
        }
    }
}

/// A command gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommandCheck {
    /// Program and arguments; no shell in between.
    pub argv: Vec<String>,
    /// Added to the environment that every gate gets.
    pub env: BTreeMap<String, String>,
}
