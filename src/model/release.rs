use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ImageRef, PinnedImage, Policy, ServiceName, Workload};

/// Identifies a release by its content: the same image digest with the same configuration is the
/// same release.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct ReleaseId(String);

impl ReleaseId {
    /// The id as text: 12 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for ReleaseId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A release as asked for: its image is not resolved yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Draft {
    /// The service it belongs to.
    pub service: ServiceName,
    /// The image as written.
    pub image: ImageRef,
    /// What runs.
    pub workload: Workload,
    /// How it is deployed.
    pub policy: Policy,
}

impl Draft {
    /// The release that this becomes with its image resolved to `image`.
    #[must_use]
    pub fn pin(self, image: PinnedImage) -> Release {
        let id = identify(&image, &self.workload, &self.policy);
        Release { id, service: self.service, image, workload: self.workload, policy: self.policy }
    }
}

/// One immutable thing to run: image digest and the configuration it runs with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Release {
    /// Its content's name.
    pub id: ReleaseId,
    /// The service it belongs to.
    pub service: ServiceName,
    /// The image, by digest.
    pub image: PinnedImage,
    /// What runs.
    pub workload: Workload,
    /// How it is deployed.
    pub policy: Policy,
}

/// 48 bits of SHA-256: among the few thousand releases of one service a collision is out of reach.
const ID_BYTES: usize = 6;

fn identify(image: &PinnedImage, workload: &Workload, policy: &Policy) -> ReleaseId {
    let content = serde_json::json!([image.reference(), workload, policy]);
    let hash = Sha256::digest(content.to_string().as_bytes());
    ReleaseId(hex::encode(&hash[..ID_BYTES]))
}
