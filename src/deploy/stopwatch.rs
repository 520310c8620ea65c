//! Time that passes, whatever the wall clock does.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// How long something has gone on, over lives of the daemon.
///
/// What passed in earlier lives is told by the wall clock, once; from then on only time that really
/// passes counts, so that a wall clock that is put right changes nothing.
#[derive(Debug, Clone)]
pub struct Stopwatch {
    spent: Duration,
    /// When it was last set going; none while it stands still.
    running: Option<Instant>,
}

impl Stopwatch {
    /// It goes, and went before as long as from `since` to `now` by the wall clock, of which it was
    /// `paused` for a while. The clock may be wrong: never less than nothing, never more than `most`.
    #[must_use]
    pub fn going(since: Timestamp, now: Timestamp, paused: Duration, most: Duration) -> Self {
        let spent = between(since, now).saturating_sub(paused).min(most);
        Self { spent, running: Some(Instant::now()) }
    }

    /// How long it went.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.spent + self.running.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// How much is left of `allowed`; nothing when it went for longer.
    #[must_use]
    pub fn left(&self, allowed: Duration) -> Duration {
        allowed.saturating_sub(self.elapsed())
    }

    /// Let it go, or stand still.
    pub fn set_going(&mut self, going: bool) {
        if going {
            self.running.get_or_insert_with(Instant::now);
        } else {
            self.spent = self.elapsed();
            self.running = None;
        }
    }
}

/// From `since` to `now` by the wall clock; nothing when that went backwards.
#[must_use]
pub fn between(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const NONE: Duration = Duration::ZERO;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_wrong_costs_at_most_what_there_is() {
        assert_eq!(Stopwatch::going(at(0), at(20), NONE, MINUTE).left(MINUTE), MINUTE * 2 / 3);
        assert_eq!(Stopwatch::going(at(0), at(86_400), NONE, MINUTE).left(MINUTE), Duration::ZERO);
        assert_eq!(Stopwatch::going(at(86_400), at(0), NONE, MINUTE).left(MINUTE), MINUTE);
    }

    #[tokio::test(start_paused = true)]
    async fn it_counts_while_it_goes() {
        let mut watch = Stopwatch::going(at(0), at(10), Duration::from_secs(4), MINUTE);
        tokio::time::sleep(Duration::from_secs(1)).await;
        watch.set_going(false);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(watch.elapsed(), Duration::from_secs(7));
        watch.set_going(true);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(watch.elapsed(), Duration::from_secs(8));
    }
}
