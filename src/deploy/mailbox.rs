//! A queue with an end, for whoever must not hold up those who speak: when it is full, what weighs least
//! goes, the oldest first.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How much it matters that something arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Steps on the way.
    Progress,
    /// Where a deployment begins, or waits for somebody.
    Turn,
    /// Where it ends, or does not get on.
    End,
}

/// Counts what had to go. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<AtomicU64>);

impl Tally {
    /// So many so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The end that is written to.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The end that is read.
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Notify,
    room: usize,
    lost: Tally,
}

struct Waiting<T> {
    items: VecDeque<(Weight, T)>,
    /// Since the reader last asked.
    lost: u64,
    /// The other end is gone.
    closed: bool,
}

/// A mailbox in which `room` things may wait; what has to go is counted in `lost`.
#[must_use]
pub fn mailbox<T>(room: usize, lost: Tally) -> (Sender<T>, Mailbox<T>) {
    let waiting = Waiting { items: VecDeque::new(), lost: 0, closed: false };
    let waiting = Mutex::new(waiting);
    let shared = Arc::new(Shared { waiting, changed: Notify::new(), room, lost });
    (Sender { shared: Arc::clone(&shared) }, Mailbox { shared })
}

impl<T> Sender<T> {
    /// Put `item` in; what had to go for it, which may be itself.
    pub fn send(&self, weight: Weight, item: T) -> Option<T> {
        let mut waiting = self.shared.lock();
        waiting.items.push_back((weight, item));
        let gone = (waiting.items.len() > self.shared.room).then(|| waiting.let_go()).flatten();
        if gone.is_some() {
            waiting.lost += 1;
            self.shared.lost.add_one();
        }
        drop(waiting);
        self.shared.changed.notify_one();
        gone
    }

    /// Nobody reads any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl<T> Mailbox<T> {
    /// The next; none when there is none left and none will come.
    pub async fn next(&mut self) -> Option<T> {
        loop {
            {
                let mut waiting = self.shared.lock();
                if let Some((_, item)) = waiting.items.pop_front() {
                    return Some(item);
                }
                if waiting.closed {
                    return None;
                }
            }
            // What comes in between has left its notice.
            self.shared.changed.notified().await;
        }
    }

    /// How many had to go since this was last asked.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.shared.lock().lost)
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }
}

impl<T> Waiting<T> {
    /// The oldest of those that weigh least.
    fn let_go(&mut self) -> Option<T> {
        let least = self.items.iter().map(|(weight, _)| *weight).min()?;
        let oldest = self.items.iter().position(|(weight, _)| *weight == least)?;
        self.items.remove(oldest).map(|(_, item)| item)
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        self.shared.close();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    async fn rest<T>(mut mailbox: Mailbox<T>) -> Vec<T> {
        let mut rest = Vec::new();
        while let Some(item) = mailbox.next().await {
            rest.push(item);
        }
        rest
    }

    #[tokio::test]
    async fn what_weighs_least_goes_first_and_of_that_the_oldest() {
        let lost = Tally::default();
        let (sender, mut mailbox) = mailbox(3, lost.clone());
        assert_eq!(sender.send(Weight::End, "end"), None);
        assert_eq!(sender.send(Weight::Progress, "a"), None);
        assert_eq!(sender.send(Weight::Turn, "turn"), None);
        assert_eq!(sender.send(Weight::Progress, "b"), Some("a"));
        assert_eq!(sender.send(Weight::Turn, "another turn"), Some("b"));
        assert_eq!(sender.send(Weight::Progress, "c"), Some("c"));
        assert_eq!(sender.send(Weight::End, "another end"), Some("turn"));
        assert_eq!(sender.send(Weight::End, "a third end"), Some("another turn"));
        assert_eq!(sender.send(Weight::End, "a fourth end"), Some("end"));
        assert_eq!((lost.count(), mailbox.take_lost(), mailbox.take_lost()), (6, 6, 0));
        drop(sender);
        assert_eq!(rest(mailbox).await, ["another end", "a third end", "a fourth end"]);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_what_comes_and_by_the_end() {
        let (sender, mut mailbox) = mailbox(3, Tally::default());
        assert_eq!(mailbox.next().now_or_never(), None);
        let reader = tokio::spawn(rest(mailbox));
        tokio::task::yield_now().await;
        sender.send(Weight::Progress, 1);
        tokio::task::yield_now().await;
        sender.send(Weight::Progress, 2);
        drop(sender);
        assert_eq!(reader.await.unwrap(), [1, 2]);
    }

    #[test]
    fn a_sender_sees_that_nobody_reads() {
        let (sender, mailbox) = mailbox(3, Tally::default());
        assert!(!sender.is_closed());
        sender.send(Weight::Progress, 1);
        drop(mailbox);
        assert!(sender.is_closed());
    }
}
