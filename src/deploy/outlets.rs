//! Where what is said goes besides the feed of its deployment.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};

use super::mailbox::{self, Mailbox, Tally, Weight, mailbox};
use crate::model::{Event, Happening, Step};

/// Events that a slow watcher may be behind before it misses some, and news before some of them go.
const WATCH_BEHIND: usize = 1024;

/// Bytes of what gates wrote that may wait for the log: a disk that is slow must not fill the memory.
const LOG_BEHIND: usize = 16 << 20;

/// The ways out of all feeds.
#[derive(Clone)]
pub struct Outlets {
    log: mpsc::UnboundedSender<Queued>,
    log_room: Arc<Semaphore>,
    everybody: broadcast::Sender<Event>,
    news: Arc<Mutex<Vec<mailbox::Sender<Event>>>>,
    missed: Tally,
}

/// An event on its way to the log, and the room that it takes on the way.
pub struct Queued {
    /// What is to be kept.
    pub event: Event,
    _room: Option<OwnedSemaphorePermit>,
}

impl Outlets {
    /// New ones, and what is to be kept in the log.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Queued>) {
        let (log, queue) = mpsc::unbounded_channel();
        let (everybody, _) = broadcast::channel(WATCH_BEHIND);
        let log_room = Arc::new(Semaphore::new(LOG_BEHIND));
        let (news, missed) = (Arc::default(), Tally::default());
        (Self { log, log_room, everybody, news, missed }, queue)
    }

    /// All that happens.
    #[must_use]
    pub fn everything(&self) -> broadcast::Receiver<Event> {
        self.everybody.subscribe()
    }

    /// What happens, without what gates write and other progress within steps. Of whoever is far behind
    /// the steps go first; ends, and what is stuck, only when there is nothing else.
    #[must_use]
    pub fn news(&self) -> Mailbox<Event> {
        let (sender, mailbox) = mailbox(WATCH_BEHIND, self.missed.clone());
        self.news.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        mailbox
    }

    /// News that had to go.
    #[must_use]
    pub fn missed(&self) -> Tally {
        self.missed.clone()
    }

    /// Tell `event` to whoever listens. Nobody may be there to hear it.
    pub(super) fn tell(&self, event: &Event) {
        let event = without_reports(event);
        if !matches!(event.what, Happening::Output { .. } | Happening::Note { .. }) {
            self.spread(&event);
        }
        let _ = self.everybody.send(event);
    }

    /// `event` to all who want news, and those who do not any more are forgotten.
    fn spread(&self, event: &Event) {
        let mut readers = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|reader| !reader.is_closed());
        for reader in readers.iter() {
            reader.send(weight(event), event.clone());
        }
    }

    /// Have `event` kept; says whether all of it will be.
    pub(super) fn keep(&self, event: Event) -> bool {
        let Some(room) = self.room_for(written(&event.what)) else {
            self.keep_verdict(&event);
            return false;
        };
        // The log is there for as long as the engine.
        let _ = self.log.send(Queued { event, _room: Some(room) });
        true
    }

    /// Room on the way to the log for so many bytes; none when there is not enough.
    fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(bytes.min(LOG_BEHIND)).unwrap_or(u32::MAX);
        Arc::clone(&self.log_room).try_acquire_many_owned(wanted).ok()
    }

    /// There is no room for what a gate wrote; its verdict is kept all the same.
    pub(super) fn keep_verdict(&self, event: &Event) {
        if matches!(event.what, Happening::Gate { .. }) {
            let _ = self.log.send(Queued { event: without_reports(event), _room: None });
        }
    }
}

/// A retry is why somebody hears once more that a deployment is stuck.
fn weight(event: &Event) -> Weight {
    match &event.what {
        Happening::Ended { .. } | Happening::Stuck { .. } | Happening::Retried { .. } => {
            Weight::End
        }
        Happening::Opened | Happening::Failed { .. } => Weight::Turn,
        Happening::Began if event.step == Some(Step::Approve) => Weight::Turn,
        _ => Weight::Progress,
    }
}

/// Watchers of everything hear of a gate's verdict; its reports are for whoever follows the deployment.
fn without_reports(event: &Event) -> Event {
    match &event.what {
        Happening::Gate { gate, millis, failure, .. } => {
            let (gate, millis, failure) = (gate.clone(), *millis, failure.clone());
            let what = Happening::Gate { gate, millis, failure, junit: Vec::new() };
            Event { at: event.at, what, ..*event }
        }
        _ => event.clone(),
    }
}

/// The bytes in `what` that a gate wrote.
pub(super) fn written(what: &Happening) -> usize {
    match what {
        Happening::Output { gate, line } => BESIDES + gate.len() + line.len(),
        Happening::Gate { junit, .. } => {
            junit.iter().map(|report| report.name.len() + report.xml.len()).sum()
        }
        _ => 0,
    }
}

/// What an event takes besides its text, roughly: empty lines fill the memory, too.
const BESIDES: usize = 128;
