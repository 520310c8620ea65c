//! Deployments that are aborted when nobody follows them any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::deploy::control::{Control, RefusalKind};
use crate::model::DeploymentId;

/// A client whose connection broke has this long to take its stream up again.
const GRACE: Duration = Duration::from_secs(3);

/// Who is abort's `by` when a client vanished.
const BY: &str = "verdigris";

/// The deployments that are held by a stream.
#[derive(Clone)]
pub(crate) struct Holds {
    inner: Arc<Inner>,
}

struct Inner {
    control: Arc<dyn Control>,
    shutdown: CancellationToken,
    /// How many streams hold each deployment; an entry of 0 awaits one.
    streams: Mutex<HashMap<DeploymentId, usize>>,
}

impl Holds {
    pub(crate) fn new(control: Arc<dyn Control>, shutdown: CancellationToken) -> Self {
        Self { inner: Arc::new(Inner { control, shutdown, streams: Mutex::default() }) }
    }

    /// Somebody submitted `id` and should hold it soon.
    pub(crate) fn expect(&self, id: DeploymentId) {
        self.inner.streams().entry(id).or_default();
        Inner::abort_unless_held(&self.inner, id);
    }

    /// A stream holds `id` from now on, until the guard is dropped.
    pub(crate) fn hold(&self, id: DeploymentId) -> Held {
        *self.inner.streams().entry(id).or_default() += 1;
        Held { inner: self.inner.clone(), id }
    }
}

impl Inner {
    /// A count is whole after every change, so a panic elsewhere does not spoil it.
    fn streams(&self) -> MutexGuard<'_, HashMap<DeploymentId, usize>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After the grace: abort `id` when no stream holds it. A daemon that stops breaks the streams
    /// itself, which says nothing about the clients.
    fn abort_unless_held(this: &Arc<Self>, id: DeploymentId) {
        // A guard can be dropped together with the runtime; then the daemon is gone too.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let this = this.clone();
        runtime.spawn(async move {
            tokio::select! {
                () = this.shutdown.cancelled() => return,
                () = tokio::time::sleep(GRACE) => {}
            }
            if !this.forget(id) {
                return;
            }
            tracing::warn!(deployment = %id, "the client that held the deployment is gone: aborting");
            let why = "the client that waited for it is gone, and asked for a revert in that case";
            match this.control.abort(id, BY, why).await {
                Ok(()) => {}
                Err(refusal) if refusal.kind == RefusalKind::WrongState => {
                    tracing::info!(deployment = %id, "{refusal}");
                }
                Err(refusal) => tracing::error!(deployment = %id, "cannot abort: {refusal}"),
            }
        });
    }

    /// Remove `id` when it is awaited by nobody; says whether it was.
    fn forget(&self, id: DeploymentId) -> bool {
        let mut all = self.streams();
        let abandoned = all.get(&id) == Some(&0);
        if abandoned {
            all.remove(&id);
        }
        abandoned
    }
}

/// A stream holds a deployment.
pub(crate) struct Held {
    inner: Arc<Inner>,
    id: DeploymentId,
}

impl Held {
    /// The deployment has ended: nobody needs to hold it.
    pub(crate) fn release(&self) {
        self.inner.streams().remove(&self.id);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut all = self.inner.streams();
        let Some(streams) = all.get_mut(&self.id) else { return };
        *streams = streams.saturating_sub(1);
        if *streams == 0 {
            drop(all);
            Inner::abort_unless_held(&self.inner, self.id);
        }
    }
}
