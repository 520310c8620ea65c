//! What is done for one service at a time, beside the look at everything: what takes long holds up nobody else.

use std::collections::BTreeMap;
use std::sync::Mutex;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

use super::removal::Removal;
use super::{PATIENCE, Reconciler, lock};
use crate::model::ServiceName;

/// Services looked at side by side.
const ABREAST: usize = 8;

/// How a service is looked at by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// What is not as it should be is mended.
    Mend,
    /// The registry is away: proxies follow what runs.
    Follow,
}

/// Something to be done.
enum Errand {
    /// The answer says whether all is as it should be now.
    Look(ServiceName, Look, oneshot::Sender<bool>),
    Remove(Removal),
}

/// What is to be done, and what is being done.
pub(super) struct Errands {
    sender: mpsc::UnboundedSender<Errand>,
    queue: AsyncMutex<mpsc::UnboundedReceiver<Errand>>,
    /// Services that are looked at, and how they are to be looked at once more after that: something may
    /// have changed since.
    at_work: Mutex<BTreeMap<ServiceName, Option<Look>>>,
    places: Semaphore,
}

impl Errands {
    pub(super) fn new() -> Self {
        let (sender, queue) = mpsc::unbounded_channel();
        let (queue, places) = (AsyncMutex::new(queue), Semaphore::new(ABREAST));
        Self { sender, queue, at_work: Mutex::default(), places }
    }

    /// Have `service` looked at; the answer says whether all is as it should be then. None while it is
    /// looked at already: then it is once more, after that.
    pub(super) fn look(
        &self,
        service: &ServiceName,
        look: Look,
    ) -> Option<oneshot::Receiver<bool>> {
        let mut at_work = lock(&self.at_work);
        if let Some(again) = at_work.get_mut(service) {
            *again = Some(look);
            return None;
        }
        at_work.insert(service.clone(), None);
        let (answer, answered) = oneshot::channel();
        // The receiver is held beside it.
        let _ = self.sender.send(Errand::Look(service.clone(), look, answer));
        Some(answered)
    }

    /// Have a colour removed, however long it takes.
    pub(super) fn remove(&self, removal: Removal) {
        let _ = self.sender.send(Errand::Remove(removal));
    }

    /// Whether all of `looks` were begun, and answer soon that all is well. Those that take longer go on.
    pub(super) async fn all(looks: Vec<Option<oneshot::Receiver<bool>>>) -> bool {
        let begun = looks.iter().all(Option::is_some);
        let answers = join_all(looks.into_iter().flatten());
        let well = |answers: Vec<_>| answers.into_iter().all(|answer| answer == Ok(true));
        timeout(PATIENCE, answers).await.is_ok_and(well) && begun
    }

    /// `turn`, and a place among the few who ask Swarm and registry at a time: whoever waits for the one
    /// keeps the other from nobody.
    pub(super) async fn turn<'a>(
        &'a self,
        turn: &'a AsyncMutex<()>,
    ) -> (MutexGuard<'a, ()>, Option<SemaphorePermit<'a>>) {
        loop {
            let place = self.places.acquire().await.ok();
            if let Ok(turn) = turn.try_lock() {
                return (turn, place);
            }
            drop(place);
            drop(turn.lock().await);
        }
    }

    /// A look at `service` is over; answers how it is to be looked at once more.
    fn over(&self, service: &ServiceName) -> Option<Look> {
        let mut at_work = lock(&self.at_work);
        let again = at_work.get_mut(service)?.take();
        if again.is_none() {
            at_work.remove(service);
        }
        again
    }
}

impl Reconciler {
    /// Do what is to be done, beside all else.
    pub(super) async fn run_errands(&self) {
        let mut queue = self.errands.queue.lock().await;
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some(()) = under_way.next() => {}
                Some(errand) = queue.recv() => under_way.push(self.run_errand(errand)),
                else => return,
            }
        }
    }

    async fn run_errand(&self, errand: Errand) {
        match errand {
            Errand::Look(service, look, answer) => {
                let mut well = self.look_at(&service, look).await;
                while let Some(look) = self.errands.over(&service) {
                    well = self.look_at(&service, look).await;
                }
                // Whoever asked does not wait for long.
                let _ = answer.send(well);
            }
            Errand::Remove(removal) => self.see_removed(removal).await,
        }
    }

    async fn look_at(&self, service: &ServiceName, look: Look) -> bool {
        match look {
            Look::Mend => {
                let mended = self.mend(service).await;
                self.diary.trouble(service, mended.as_ref().err());
                mended.unwrap_or(true)
            }
            Look::Follow => {
                // What goes wrong is told by whoever found that the registry is away.
                if let Err(error) = self.follow_one(service).await {
                    tracing::warn!(%service, error = error.chain(), "cannot follow its instances");
                }
                true
            }
        }
    }
}
