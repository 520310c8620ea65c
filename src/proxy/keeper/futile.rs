//! Reloads that led to nothing: what is only kept is not reason enough to order one at every look.
//! Each closes connections, and one that `HAProxy` refuses pauses its listeners for two seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::proxy::error::Error;

/// From a reload that failed to the next: doubling from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The last reload, when it failed.
#[derive(Debug, Clone)]
pub(crate) struct Futile {
    /// The process that did not follow; none where it cannot be seen.
    process: Option<i32>,
    pause: Duration,
    again: Instant,
    error: Arc<Error>,
}

impl Futile {
    /// `process` did not follow either, as the one of `last` did not.
    pub fn new(last: Option<&Self>, process: Option<i32>, error: Arc<Error>) -> Self {
        let last = last.filter(|last| last.process == process);
        let pause = last.map_or(FIRST_PAUSE, |last| (last.pause * 2).min(LONGEST_PAUSE));
        Self { process, pause, again: Instant::now() + pause, error }
    }

    /// Why `process` need not be told again yet; nothing when it may be.
    pub fn reason(&self, process: Option<i32>) -> Option<Error> {
        let waits = self.process == process && Instant::now() < self.again;
        waits.then(|| Error::Shared(self.error.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pauses_grow_as_long_as_the_process_is_the_same() {
        let error = Arc::new(Error::Ended);
        let first = Futile::new(None, Some(7), error.clone());
        assert!(first.reason(Some(7)).is_some());
        assert!(first.reason(Some(8)).is_none(), "it was started anew");
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(first.reason(Some(7)).is_none());
        let second = Futile::new(Some(&first), Some(7), error.clone());
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(second.reason(Some(7)).is_some());
        tokio::time::advance(FIRST_PAUSE).await;
        assert!(second.reason(Some(7)).is_none());
        let many = (0..20).fold(second, |last, _| Futile::new(Some(&last), Some(7), error.clone()));
        tokio::time::advance(LONGEST_PAUSE).await;
        assert!(many.reason(Some(7)).is_none());
    }
}
