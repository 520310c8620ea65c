//! What keeps a daemon that has lost its lease from writing: each write of a service begins with a look
//! whether the lease's session still has its lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::image::Pair;
use super::layout::Layout;
use super::lease::Note;
use super::txn::Operation;
use crate::model::ServiceName;

/// The session that has to have the lock for a service to be written.
#[derive(Clone)]
pub(super) struct Fence {
    pub session: String,
    pub holder: String,
    /// Cancelled when the session is found to be lost.
    pub lost: CancellationToken,
}

/// The fence of each service.
#[derive(Clone, Default)]
pub(super) struct Fences {
    fences: Arc<Mutex<BTreeMap<ServiceName, Arc<Fence>>>>,
}

impl Fences {
    /// What every write of `service` has to begin with.
    pub(super) fn of(&self, layout: &Layout, service: &ServiceName) -> Option<Operation> {
        let fences = self.lock();
        let fence = fences.get(service)?;
        Some(Operation::check_lock(&layout.lock(service), &fence.session))
    }

    /// The fence of `service` did not hold, and its key is as `found`. True: no other daemon has had it,
    /// so that its session is what was lost; it is given up, for the lease to be taken anew.
    pub(super) fn give_up(&self, service: &ServiceName, found: Option<&Pair>) -> bool {
        let fences = self.lock();
        let Some(fence) = fences.get(service) else { return false };
        let note = found.and_then(Note::of);
        let untouched = match found {
            None => true,
            Some(_) => note.is_some_and(|note| note.holder == fence.holder),
        };
        if untouched {
            fence.lost.cancel();
        }
        untouched
    }

    /// From now on `service` is written under `fence`.
    pub(super) fn put(&self, service: &ServiceName, fence: Fence) -> Arc<Fence> {
        let fence = Arc::new(fence);
        self.lock().insert(service.clone(), Arc::clone(&fence));
        fence
    }

    /// Take `fence` away; the one of a lease that was taken since then stays.
    pub(super) fn remove(&self, service: &ServiceName, fence: &Arc<Fence>) {
        let mut fences = self.lock();
        if fences.get(service).is_some_and(|current| Arc::ptr_eq(current, fence)) {
            fences.remove(service);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Arc<Fence>>> {
        self.fences.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
