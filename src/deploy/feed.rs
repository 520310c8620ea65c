//! What is said about a deployment while it goes on: kept in memory for followers, handed on to the
//! log, and to whoever watches everything.

mod kept;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use tokio::sync::watch;

use self::kept::Kept;
use super::outlets::{Outlets, written};
use crate::model::{DeploymentId, Event, Happening, Step};

/// What gates of one deployment may write into the log, in bytes: an endless gate must not fill the
/// disk.
const LOGGED: usize = 32 << 20;

/// The events of one deployment under way.
pub struct Feed {
    deployment: DeploymentId,
    kept: Mutex<Kept>,
    /// Locked before `kept`.
    held: Mutex<Held>,
    told: watch::Sender<Told>,
    outlets: Outlets,
}

/// What steps said whose beginning has not been told yet.
type Held = BTreeMap<Step, Vec<Happening>>;

#[derive(Clone, Copy, Default)]
struct Told {
    /// Events with a lower number have been told.
    next: u64,
    /// None will be added.
    closed: bool,
}

impl Feed {
    /// A feed that continues `events`.
    #[must_use]
    pub fn new(deployment: DeploymentId, events: Vec<Event>, outlets: Outlets) -> Arc<Self> {
        let kept = Kept::of(events);
        let (told, _) = watch::channel(Told { next: kept.next(), closed: false });
        let held = Mutex::default();
        Arc::new(Self { deployment, kept: Mutex::new(kept), held, told, outlets })
    }

    /// Hold back what `step` says until it is said that it began: its beginning is told once it is durable,
    /// and a step that only looks does not wait for that.
    pub fn hold(&self, step: Step) {
        lock(&self.held).entry(step).or_default();
    }

    /// Say something.
    pub fn say(&self, step: Option<Step>, what: Happening) {
        let mut held = lock(&self.held);
        let Some(waiting) = step.and_then(|step| held.get_mut(&step)) else {
            return self.tell(step, what);
        };
        match what {
            Happening::Note { .. } | Happening::Output { .. } | Happening::Gate { .. } => {
                return waiting.push(what);
            }
            Happening::Began => {}
            _ => return self.tell(step, what),
        }
        let waiting = std::mem::take(waiting);
        held.retain(|other, _| Some(*other) != step);
        self.tell(step, what);
        for what in waiting {
            self.tell(step, what);
        }
    }

    fn tell(&self, step: Option<Step>, what: Happening) {
        let mut kept = lock(&self.kept);
        let (what, remark) = kept.admit(what);
        let whole = self.add(&mut kept, step, what);
        for text in [remark, whole].into_iter().flatten() {
            self.add(&mut kept, step, Happening::Note { text: text.to_owned() });
        }
        self.told.send_modify(|told| told.next = kept.next());
    }

    /// Add one event; the remark that is due when the log does not get all of it.
    fn add(&self, kept: &mut Kept, step: Option<Step>, what: Happening) -> Option<&'static str> {
        let (seq, bytes) = (kept.next(), written(&what));
        let event = Event { seq, at: Timestamp::now(), deployment: self.deployment, step, what };
        kept.push(event.clone());
        self.outlets.tell(&event);
        let before = kept.logged;
        kept.logged += bytes;
        if kept.logged <= LOGGED || bytes == 0 {
            let whole = self.outlets.keep(event);
            return (!whole && !std::mem::replace(&mut kept.behind, true)).then_some(BEHIND);
        }
        self.outlets.keep_verdict(&event);
        (before <= LOGGED).then_some(CUT)
    }

    /// Nothing more will be said: followers end.
    pub fn close(&self) {
        self.told.send_modify(|told| told.closed = true);
    }

    /// All events so far that are kept.
    #[must_use]
    pub fn so_far(&self) -> Vec<Event> {
        lock(&self.kept).events().to_vec()
    }

    /// All events after `after`, then what comes, until the feed is closed.
    #[must_use]
    pub fn follow(self: &Arc<Self>, after: Option<u64>) -> BoxStream<'static, Event> {
        let feed = Arc::clone(self);
        let told = feed.told.subscribe();
        let start = after.map_or(0, |seen| seen.saturating_add(1));
        stream::unfold((feed, told, start), |(feed, mut told, next)| async move {
            let seen = told.wait_for(|told| told.next > next || told.closed).await;
            seen.ok()?;
            let event = lock(&feed.kept).from(next).cloned()?;
            let next = event.seq + 1;
            Some((event, (feed, told, next)))
        })
        .boxed()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const CUT: &str =
    "too much output: what follows is not kept in the log, and its last lines only until the end";
const BEHIND: &str = "the log is behind: some lines of output are not kept in it";

#[cfg(test)]
mod tests;
