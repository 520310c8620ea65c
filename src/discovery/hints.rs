//! Hints of Swarm and registry, in one stream that ends when one of the two has to be asked again.

use std::future;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};

use crate::deploy::ports::{PortResult, World};

/// What both hint at. Without one of them, or both, it ends after `again`.
pub(super) async fn subscribe(world: &World, again: Duration) -> BoxStream<'static, ()> {
    let swarm = world.swarm.events().await.map(|events| events.map(drop).boxed());
    both(swarm, world.registry.changes().await, again)
}

fn both(
    one: PortResult<BoxStream<'static, ()>>,
    other: PortResult<BoxStream<'static, ()>>,
    again: Duration,
) -> BoxStream<'static, ()> {
    let ended = || stream::once(future::ready(None));
    let sources = [one, other].map(|source| match source {
        Ok(hints) => hints.map(Some).chain(ended()).boxed(),
        // Only time hints at it.
        Err(_) => stream::once(tokio::time::sleep(again)).map(|()| None).boxed(),
    });
    // By itself `select_all` would go on with what is left of them.
    stream::select_all(sources).take_while(|hint| future::ready(hint.is_some())).map(drop).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::ports::{PortError, Trouble};

    const AGAIN: Duration = Duration::from_secs(10);

    fn never() -> PortResult<BoxStream<'static, ()>> {
        Ok(stream::pending().boxed())
    }

    fn few(count: usize) -> PortResult<BoxStream<'static, ()>> {
        Ok(stream::iter(vec![(); count]).boxed())
    }

    fn away() -> PortResult<BoxStream<'static, ()>> {
        Err(PortError::new(Trouble::Unreachable, "subscribe"))
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_either_of_the_two() {
        for (one, other) in [(few(3), never()), (never(), few(3))] {
            let hints = both(one, other, AGAIN).count();
            assert_eq!(tokio::time::timeout(AGAIN * 2, hints).await, Ok(3));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_away_is_asked_again_after_a_while() {
        for (one, other) in [(away(), never()), (never(), away()), (away(), away())] {
            let began = tokio::time::Instant::now();
            assert_eq!(both(one, other, AGAIN).count().await, 0);
            assert_eq!(began.elapsed().as_secs(), AGAIN.as_secs());
        }
    }
}
