//! Whether a deployment under way does what is asked for: the same service, digest and configuration.

use std::time::Duration;

use tokio::time::timeout;

use super::Active;
use crate::deploy::ports::{PortResult, Swarm};
use crate::deploy::standing::Standing;
use crate::model::{ImageRef, Kind, PinnedImage, Request};

/// How long it is waited for what a deployment that just begins finds out about its image.
const PREPARED: Duration = Duration::from_secs(10);

/// Whether `other` does what `request` asks for. What the image means now is asked for only when
/// everything else is the same.
pub(super) async fn is_same(
    swarm: &dyn Swarm,
    request: &Request,
    other: &Active,
) -> PortResult<bool> {
    // One that is not forced may find that there is nothing to do, and do nothing.
    let forced = other.request.force || !request.force;
    if !may_be_same(&request.kind, &other.request.kind) || !forced {
        return Ok(false);
    }
    if request.kind != other.request.kind {
        let standing = other.standing.borrow().clone();
        return Ok(is_written_otherwise(swarm, request, &standing).await);
    }
    let Some(standing) = settled(other).await else { return Ok(false) };
    match (&request.kind, &standing.image) {
        (Kind::Deploy { draft }, Some(image)) => means(swarm, &draft.image, image).await,
        // A rollback follows no tag; and what has not begun finds out later what its tag means.
        _ => Ok(true),
    }
}

/// Whether the image that `request` writes in another way is known to be the same. Mostly it is a newer one,
/// which must not wait to be told so, nor for a registry of images that is away.
async fn is_written_otherwise(swarm: &dyn Swarm, request: &Request, standing: &Standing) -> bool {
    let (Kind::Deploy { draft }, Some(image)) = (&request.kind, &standing.image) else {
        return false;
    };
    !standing.is_closed() && means(swarm, &draft.image, image).await.unwrap_or(false)
}

/// Whether both are the same but for the image's tag and digest: one image can be written in several ways.
fn may_be_same(one: &Kind, other: &Kind) -> bool {
    let (Kind::Deploy { draft: one }, Kind::Deploy { draft: other }) = (one, other) else {
        return one == other;
    };
    (&one.service, &one.workload, &one.policy) == (&other.service, &other.workload, &other.policy)
        && one.image.repository() == other.image.repository()
}

/// How it stands once it is known which image it makes live, or that this is not asked yet; none when
/// it is closed.
async fn settled(other: &Active) -> Option<Standing> {
    let settled =
        |standing: &Standing| standing.is_closed() || !standing.begun || standing.image.is_some();
    let mut seen = other.standing.clone();
    // What is still asked for after that long is told about the tag as it is now. An error says that
    // the runner is gone.
    let _ = timeout(PREPARED, seen.wait_for(settled)).await;
    let standing = seen.borrow().clone();
    (!standing.is_closed()).then_some(standing)
}

async fn means(swarm: &dyn Swarm, written: &ImageRef, image: &PinnedImage) -> PortResult<bool> {
    match written.digest() {
        Some(digest) => Ok(digest == image.digest),
        None => Ok(swarm.resolve(written).await?.reference() == image.reference()),
    }
}
