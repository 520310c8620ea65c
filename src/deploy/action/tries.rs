use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Step;

/// Notes that are remembered: one that is worded differently each time must not fill the memory.
const MOST: usize = 100;

/// A task that dies is replaced within a second or so; a look costs 6 to 7 ms.
const LONG_AGO: Duration = Duration::from_millis(500);

/// What is remembered from one try of an act to the next, in one life of the daemon. An undo, and a step
/// after the commit, are tried for as long as it takes.
#[derive(Debug, Default)]
pub struct Tries {
    drained: AtomicBool,
    owed: AtomicBool,
    said: Mutex<BTreeSet<(Step, String)>>,
    seen: Mutex<Option<Instant>>,
}

impl Tries {
    /// Whether the requests on the new colour were waited for.
    pub fn set_drained(&self, drained: bool) {
        self.drained.store(drained, Ordering::Relaxed);
        self.owed.fetch_and(!drained, Ordering::Relaxed);
    }

    /// The public was found on the new colour, and is led away: who came by then has to be waited for.
    pub fn owe(&self) {
        self.set_drained(false);
        self.owed.store(true, Ordering::Relaxed);
    }

    /// Whether somebody is known to have come who was not waited for yet.
    pub fn owes(&self) -> bool {
        self.owed.load(Ordering::Relaxed)
    }

    /// Whether they were: those that are left had their time.
    pub fn have_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// The new instances are seen to be up now.
    pub fn see(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether that was so long ago, if ever, that Swarm may have put one of them elsewhere.
    pub fn seen_long_ago(&self) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_none_or(|seen| seen.elapsed() > LONG_AGO)
    }

    /// Whether `text` was not said about `step` yet.
    pub fn is_new(&self, step: Step, text: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.len() < MOST && said.insert((step, text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_is_owed_until_he_was_waited_for() {
        let tries = Tries::default();
        assert!(!tries.owes() && !tries.have_drained());
        tries.set_drained(true);
        tries.owe();
        assert!(tries.owes() && !tries.have_drained());
        // That others are to be waited for does not pay.
        tries.set_drained(false);
        assert!(tries.owes());
        tries.set_drained(true);
        assert!(!tries.owes() && tries.have_drained());
    }
}
