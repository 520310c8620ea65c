//! Deployments that are aborted when nobody follows them any more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::deploy::control::{Control, RefusalKind};
use crate::model::DeploymentId;

/// A client whose connection broke has this long to take its stream up again.
const GRACE: Duration = Duration::from_secs(3);

/// After a start of the daemon it has this long: a connection that broke without a word is found out
/// after 30 s of silence, then it tries every two seconds, and a try takes five at most.
const COMEBACK: Duration = Duration::from_secs(45);

/// Who is abort's `by` when a client vanished.
const BY: &str = "verdigris";

/// The deployments that go on only while a stream holds them.
#[derive(Clone)]
pub struct Holds {
    inner: Arc<Inner>,
}

struct Inner {
    control: Arc<dyn Control>,
    shutdown: CancellationToken,
    holds: Mutex<HashMap<DeploymentId, Hold>>,
}

/// How a deployment is held.
#[derive(Default)]
struct Hold {
    streams: usize,
    /// How often that changed: whoever waits for a grace to pass knows whether it is still the same one.
    changes: u64,
}

impl Holds {
    /// None yet; deployments that are let go are aborted by `control`.
    #[must_use]
    pub fn new(control: Arc<dyn Control>, shutdown: CancellationToken) -> Self {
        Self { inner: Arc::new(Inner { control, shutdown, holds: Mutex::default() }) }
    }

    /// Somebody submitted `id` and should hold it soon.
    pub(crate) fn expect(&self, id: DeploymentId) {
        let changes = self.inner.change(id, |_| {});
        Inner::abort_unless_held(&self.inner, id, changes, GRACE);
    }

    /// `id` was taken up by a daemon that has just started: its client should come back, if it lives.
    pub fn expect_again(&self, id: DeploymentId) {
        let changes = self.inner.change(id, |_| {});
        Inner::abort_unless_held(&self.inner, id, changes, COMEBACK);
    }

    /// A stream holds `id` from now on, until the guard is dropped.
    pub(crate) fn hold(&self, id: DeploymentId) -> Held {
        self.inner.change(id, |hold| hold.streams += 1);
        Held { inner: self.inner.clone(), id }
    }
}

impl Inner {
    /// A hold is whole after every change, so a panic elsewhere does not spoil it.
    fn holds(&self) -> MutexGuard<'_, HashMap<DeploymentId, Hold>> {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, id: DeploymentId, what: impl FnOnce(&mut Hold)) -> u64 {
        let mut holds = self.holds();
        let hold = holds.entry(id).or_default();
        what(hold);
        hold.changes += 1;
        hold.changes
    }

    /// After `grace`: abort `id` when nothing has held it since change number `changes`. A daemon that
    /// stops breaks the streams itself, which says nothing about the clients.
    fn abort_unless_held(this: &Arc<Self>, id: DeploymentId, changes: u64, grace: Duration) {
        // A guard can be dropped together with the runtime; then the daemon is gone too.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let this = this.clone();
        runtime.spawn(async move {
            tokio::select! {
                () = this.shutdown.cancelled() => return,
                () = tokio::time::sleep(grace) => {}
            }
            if !this.forget(id, changes) {
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

    /// Remove `id` when nothing has held it since change number `changes`; says whether that is so.
    fn forget(&self, id: DeploymentId, changes: u64) -> bool {
        let mut holds = self.holds();
        let unheld = |hold: &Hold| hold.streams == 0 && hold.changes == changes;
        let abandoned = holds.get(&id).is_some_and(unheld);
        if abandoned {
            holds.remove(&id);
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
        self.inner.holds().remove(&self.id);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut holds = self.inner.holds();
        let Some(hold) = holds.get_mut(&self.id) else { return };
        hold.streams = hold.streams.saturating_sub(1);
        hold.changes += 1;
        let (streams, changes) = (hold.streams, hold.changes);
        drop(holds);
        if streams == 0 {
            Inner::abort_unless_held(&self.inner, self.id, changes, GRACE);
        }
    }
}
