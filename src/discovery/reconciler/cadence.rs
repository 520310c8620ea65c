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

/// After a hint, and while instances that are wanted do not run yet, it is looked again after so long,
/// then after twice that, and so on: what Swarm says follows the engine's hint by a while, and of other
/// nodes' containers there is no hint at all.
const SOON: Duration = Duration::from_millis(50);

/// Swarm has said by then what the engine hinted at: measured 0.1 to 0.7 s.
const LAG: Duration = Duration::from_secs(2);

/// Hints are gathered for this long at least, so that a burst is one look …
const QUIET: Duration = Duration::from_millis(20);

/// … and this long at most, so that a stream of hints cannot put it off.
const PUT_OFF: Duration = Duration::from_millis(200);

impl Reconciler {
    /// Reconcile until `shutdown`; `ready` turns true after the first sweep.
    pub async fn run(&self, ready: watch::Sender<bool>, shutdown: CancellationToken) {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            _ = self.sweep() => {}
        }
        ready.send_replace(true);
        while !shutdown.is_cancelled() {
            let follow = async { self.follow(hints::subscribe(&self.world, SWEEP).await).await };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = follow => {}
            }
        }
    }

    /// Sweep now, on hints, and every now and then, until the hints end.
    async fn follow(&self, mut hints: BoxStream<'static, ()>) {
        let mut soon = SOON;
        loop {
            let whole = self.sweep().await;
            let last = Instant::now();
            let pause = if whole && soon > LAG { SWEEP } else { soon };
            tokio::select! {
                biased;
                hint = hints.next() => if hint.is_none() {
                    // The engine went away; it is asked again after a while.
                    tokio::time::sleep(PUT_OFF).await;
                    return;
                },
                () = tokio::time::sleep_until(last + pause) => {
                    soon = (soon * 2).min(SWEEP);
                    continue;
                }
            }
            soon = SOON;
            gather(&mut hints).await;
        }
    }
}

/// Take in the hints that come until there is a pause, or too many.
async fn gather(hints: &mut BoxStream<'static, ()>) {
    let _ = tokio::time::timeout(PUT_OFF, async {
        while let Ok(Some(())) = tokio::time::timeout(QUIET, hints.next()).await {}
    })
    .await;
}
