//! When to look: at once on a hint, soon and then less soon after it, and every now and then anyway.

use std::time::Duration;

use futures_util::stream::{BoxStream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Reconciler;
use crate::discovery::hints;

/// Everything is looked at this often, hints or not.
pub(super) const SWEEP: Duration = Duration::from_secs(10);

/// After a hint it is looked again after so long, then after twice that, and so on: what Swarm says follows
/// the engine's hint by a while, and of other nodes' containers there is no hint at all.
const SOON: Duration = Duration::from_millis(50);

/// Swarm has said by then what the engine hinted at: measured 0.1 to 0.7 s.
const LAG: Duration = Duration::from_secs(2);

/// Until then no pause is longer: the public may be waiting for what Swarm says next.
const OFTEN: Duration = Duration::from_millis(400);

/// A pause is so many times what the look before it took, at least: a Swarm that is large is not kept busy by
/// being looked at …
const REST: u32 = 4;

/// … but not longer than this for that reason: a look also takes long when a registry is silent.
const LONG_REST: Duration = Duration::from_millis(500);

/// Hints are gathered for this long at least, so that a burst is one look …
const QUIET: Duration = Duration::from_millis(20);

/// … and this long at most, so that a stream of hints cannot put it off.
const PUT_OFF: Duration = Duration::from_millis(200);

impl Reconciler {
    /// Reconcile until `shutdown`; `ready` turns true after the first sweep.
    pub async fn run(&self, ready: watch::Sender<bool>, shutdown: CancellationToken) {
        let looks = async {
            self.sweep().await;
            ready.send_replace(true);
            tokio::join!(self.look_until(&shutdown), self.clean_now_and_then(&shutdown));
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = looks => {}
            () = self.run_errands() => {}
        }
    }

    async fn look_until(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = self.listen() => {}
            }
        }
    }

    /// Follow the hints that can be had. An engine or a registry that is silent takes its time to say so.
    async fn listen(&self) {
        self.follow(hints::subscribe(&self.world, SWEEP).await).await;
    }

    /// Sweep now, on hints, and every now and then, until the hints end.
    async fn follow(&self, mut hints: BoxStream<'static, ()>) {
        let mut waited = Duration::ZERO;
        loop {
            let began = Instant::now();
            let whole = self.sweep().await;
            let pause = pause(waited, began.elapsed(), whole);
            tokio::select! {
                biased;
                hint = hints.next() => if hint.is_none() {
                    // The engine went away; it is asked again after a while.
                    tokio::time::sleep(PUT_OFF).await;
                    return;
                },
                () = tokio::time::sleep(pause) => {
                    waited += pause;
                    continue;
                }
            }
            waited = Duration::ZERO;
            gather(&mut hints).await;
        }
    }
}

/// How long after a look the next one is, when nothing hints at a change: since the last hint `waited` was
/// waited, the look took `took`, and all instances that are wanted run if `whole`.
fn pause(waited: Duration, took: Duration, whole: bool) -> Duration {
    let pause = match (waited < LAG, whole) {
        (true, _) => waited.clamp(SOON, OFTEN),
        (false, true) => SWEEP,
        (false, false) => waited.min(SWEEP),
    };
    pause.max(LONG_REST.min(took * REST))
}

/// Take in the hints that come until there is a pause, or too many.
async fn gather(hints: &mut BoxStream<'static, ()>) {
    let _ = tokio::time::timeout(PUT_OFF, async {
        while let Ok(Some(())) = tokio::time::timeout(QUIET, hints.next()).await {}
    })
    .await;
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// A hint after each of so many milliseconds, then none any more.
    fn hints_after(
        pauses: impl IntoIterator<Item = u64, IntoIter: Send + 'static>,
    ) -> BoxStream<'static, ()> {
        let hints =
            stream::iter(pauses).then(|pause| tokio::time::sleep(Duration::from_millis(pause)));
        hints.chain(stream::pending()).boxed()
    }

    /// The pauses after a hint, up to the first sweep, if each look takes `took`; in milliseconds.
    fn pauses(took: Duration, whole: bool) -> Vec<u128> {
        let mut waited = Duration::ZERO;
        let mut next = || {
            let pause = pause(waited, took, whole);
            waited += pause;
            pause
        };
        let pauses = std::iter::repeat_with(&mut next).take_while(|pause| *pause < SWEEP);
        pauses.map(|pause| pause.as_millis()).collect()
    }

    #[test]
    fn it_looks_often_until_swarm_has_said_what_was_hinted_at() {
        let looks = pauses(Duration::from_millis(5), true);
        assert_eq!(looks, [50, 50, 100, 200, 400, 400, 400, 400], "then only every now and then");
    }

    #[test]
    fn what_is_missing_for_long_is_looked_for_less_and_less() {
        let looks = pauses(Duration::from_millis(5), false);
        assert_eq!(looks[looks.len() - 3..], [2_000, 4_000, 8_000]);
    }

    #[test]
    fn it_is_not_busy_with_looking_but_a_silent_registry_does_not_put_it_off() {
        assert_eq!(pauses(Duration::from_millis(100), true), [400; 5]);
        assert_eq!(pauses(Duration::from_secs(10), true), [500; 4]);
    }

    async fn gathered(mut hints: BoxStream<'static, ()>) -> Duration {
        let began = Instant::now();
        gather(&mut hints).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_look_after_a_short_quiet() {
        assert_eq!(gathered(hints_after([])).await, QUIET);
        assert_eq!(gathered(hints_after([0; 1000])).await, QUIET);
        assert_eq!(gathered(hints_after([15, 15, 500])).await, QUIET + Duration::from_millis(30));
    }

    #[tokio::test(start_paused = true)]
    async fn hints_without_end_do_not_put_the_look_off_for_long() {
        assert_eq!(gathered(hints_after(std::iter::repeat(10))).await, PUT_OFF);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_nothing_to_wait_for_when_the_hints_have_ended() {
        assert_eq!(gathered(stream::empty().boxed()).await, Duration::ZERO);
    }
}
