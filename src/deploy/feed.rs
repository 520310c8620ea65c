//! What is said about a deployment while it goes on: kept in memory for followers, handed on to the
//! log, and to whoever watches everything.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, BoxStream, StreamExt};
use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, watch};

use crate::model::{DeploymentId, Event, Happening, Step};

/// Lines of gate output kept per deployment; an endless gate must not fill the memory.
const MOST_OUTPUT: usize = 20_000;

/// The events of one deployment under way.
pub struct Feed {
    deployment: DeploymentId,
    events: Mutex<Vec<Event>>,
    /// How many events there are; none is added once it is closed.
    count: watch::Sender<Count>,
    outlets: Outlets,
}

#[derive(Clone, Copy, Default)]
struct Count {
    events: usize,
    output: usize,
    closed: bool,
}

/// Where events go besides the feed itself.
#[derive(Clone)]
pub struct Outlets {
    /// To the log, in order.
    pub log: mpsc::UnboundedSender<Event>,
    /// To whoever watches everything.
    pub everybody: broadcast::Sender<Event>,
}

impl Feed {
    /// A feed that continues `events`.
    #[must_use]
    pub fn new(deployment: DeploymentId, events: Vec<Event>, outlets: Outlets) -> Arc<Self> {
        let count = Count { events: events.len(), ..Count::default() };
        let (count, _) = watch::channel(count);
        Arc::new(Self { deployment, events: Mutex::new(events), count, outlets })
    }

    /// Say something.
    pub fn say(&self, step: Option<Step>, what: Happening) {
        let is_output = matches!(what, Happening::Output { .. });
        let count = *self.count.borrow();
        let what = match count.output {
            MOST_OUTPUT if is_output => Happening::Note { text: CUT.to_owned() },
            over if is_output && over > MOST_OUTPUT => return,
            _ => what,
        };
        let mut events = self.lock();
        let seq = events.last().map_or(0, |last| last.seq + 1);
        let event = Event { seq, at: Timestamp::now(), deployment: self.deployment, step, what };
        events.push(event.clone());
        // Nobody may be there to hear it; it is kept all the same.
        let _ = self.outlets.log.send(event.clone());
        let _ = self.outlets.everybody.send(event);
        self.count.send_modify(|count| {
            count.events = events.len();
            count.output += usize::from(is_output);
        });
    }

    /// Nothing more will be said: followers end.
    pub fn close(&self) {
        self.count.send_modify(|count| count.closed = true);
    }

    /// All events so far.
    #[must_use]
    pub fn so_far(&self) -> Vec<Event> {
        self.lock().clone()
    }

    /// All events after `after`, then what comes, until the feed is closed.
    #[must_use]
    pub fn follow(self: &Arc<Self>, after: Option<u64>) -> BoxStream<'static, Event> {
        let feed = Arc::clone(self);
        let start =
            feed.lock().partition_point(|event| after.is_some_and(|seen| event.seq <= seen));
        let count = feed.count.subscribe();
        stream::unfold((feed, count, start), |(feed, mut count, next)| async move {
            let seen = count.wait_for(|count| count.events > next || count.closed).await;
            seen.ok()?;
            let event = feed.lock().get(next).cloned()?;
            Some((event, (feed, count, next + 1)))
        })
        .boxed()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const CUT: &str = "too much output: the rest is not kept";

#[cfg(test)]
mod tests {
    use super::*;

    fn outlets() -> Outlets {
        Outlets { log: mpsc::unbounded_channel().0, everybody: broadcast::channel(8).0 }
    }

    fn note(text: &str) -> Happening {
        Happening::Note { text: text.to_owned() }
    }

    #[tokio::test]
    async fn a_follower_gets_what_was_said_and_what_is_said_until_the_close() {
        let feed = Feed::new(DeploymentId::new(), Vec::new(), outlets());
        feed.say(None, note("one"));
        feed.say(None, note("two"));
        let followed =
            tokio::spawn(feed.follow(Some(0)).map(|event| event.seq).collect::<Vec<_>>());
        feed.say(None, note("three"));
        feed.close();
        assert_eq!(followed.await.unwrap(), [1, 2]);
    }

    #[tokio::test]
    async fn endless_output_is_cut() {
        let feed = Feed::new(DeploymentId::new(), Vec::new(), outlets());
        for _ in 0..MOST_OUTPUT + 10 {
            feed.say(None, Happening::Output { gate: "g".to_owned(), line: "x".to_owned() });
        }
        feed.close();
        let events: Vec<Event> = feed.follow(None).collect().await;
        assert_eq!(events.len(), MOST_OUTPUT + 1);
        assert_eq!(events[MOST_OUTPUT].what, note(CUT));
    }
}
