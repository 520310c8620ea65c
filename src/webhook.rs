//! Tells webhooks what happens: each gets a JSON document with the deployment as the API shows it, and
//! a `text` that chat tools show as it is.
//!
//! Every hook has a queue and a worker of its own: one that hangs or fails is behind by itself, and
//! what it gets comes in the order in which it happened. Of one that is far behind, what matters least
//! goes first.

mod notice;
mod post;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Notify, Occasion};
use crate::deploy::control::Control;
use crate::deploy::mailbox::{Mailbox, Sender, Tally, Weight, mailbox};
use crate::model::{DeploymentId, Event, Failure, Happening, Outcome, Step};
use notice::Notice;
use post::Poster;

pub use post::Persistence;

/// Notices that wait for one hook.
const WAITING: usize = 256;

/// How long the queues have when the daemon leaves.
const FAREWELL: Duration = Duration::from_secs(2);

/// Tell `hooks` what happens in `control` from this call on, until `over` fires: then nothing more
/// happens, and what is still queued has two seconds. Notices that had to go are counted in `untold`.
pub fn tell(
    hooks: Vec<Notify>,
    control: Arc<dyn Control>,
    persistence: Persistence,
    untold: Tally,
    over: CancellationToken,
) -> impl Future<Output = ()> + Send + 'static {
    // Before anything happens, not when this is first polled.
    let events = control.news();
    async move {
        if hooks.is_empty() {
            return;
        }
        let mut workers = JoinSet::new();
        let queues = hooks.into_iter().enumerate().filter_map(|(index, hook)| {
            let poster = Poster::new(index + 1, &hook.url, persistence)
                .inspect_err(|error| tracing::error!(webhook = index + 1, %error, "cannot be told"))
                .ok()?;
            let (notices, waiting) = mailbox(WAITING, untold.clone());
            workers.spawn(work(poster, waiting));
            Some(Queue { number: index + 1, events: hook.events, notices })
        });
        let teller = Teller { queues: queues.collect(), control, stuck: BTreeMap::new() };
        teller.run(events, over).await;
        let all = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("webhooks were not told of everything: the daemon stops");
        }
    }
}

async fn work(poster: Poster, mut waiting: Mailbox<Arc<Notice>>) {
    while let Some(notice) = waiting.next().await {
        poster.post(&notice).await;
    }
}

/// A hook as the teller sees it.
struct Queue {
    number: usize,
    events: Vec<Occasion>,
    notices: Sender<Arc<Notice>>,
}

struct Teller {
    queues: Vec<Queue>,
    control: Arc<dyn Control>,
    /// Deployments of which it is known that they are stuck, and in which step.
    stuck: BTreeMap<DeploymentId, Step>,
}

impl Teller {
    async fn run(mut self, mut events: BoxStream<'static, Event>, over: CancellationToken) {
        self.look_back().await;
        loop {
            tokio::select! {
                biased;
                event = events.next() => match event {
                    Some(event) => self.take(&event).await,
                    None => return,
                },
                () = over.cancelled() => break,
            }
        }
        while let Some(Some(event)) = events.next().now_or_never() {
            self.take(&event).await;
        }
    }

    /// Deployments that an earlier life of the daemon left stuck: it may have died before it told.
    async fn look_back(&mut self) {
        let views = self.control.stuck().await.inspect_err(|error| {
            tracing::warn!(%error, "webhooks are not told of what is stuck since before the start");
        });
        for view in views.unwrap_or_default() {
            if let Some(Outcome::Stuck { problem, .. }) = &view.outcome {
                self.stuck.insert(view.id, problem.step);
                self.queue(Occasion::Stuck, Some(problem), view.id).await;
            }
        }
    }

    async fn take(&mut self, event: &Event) {
        let known = self.is_known(event);
        if let Some((occasion, why)) = occasion(event).filter(|_| !known) {
            self.queue(occasion, why, event.deployment).await;
        }
    }

    /// A stuck deployment is tried again every few seconds, and may fail in other words each time:
    /// that is no news, unless it was something else in between.
    fn is_known(&mut self, event: &Event) -> bool {
        match (&event.what, event.step) {
            (Happening::Stuck { .. }, Some(step)) => {
                return self.stuck.insert(event.deployment, step) == Some(step);
            }
            (
                Happening::Retried { .. }
                | Happening::Done { .. }
                | Happening::Undone
                | Happening::Ended { .. },
                _,
            ) => drop(self.stuck.remove(&event.deployment)),
            _ => {}
        }
        false
    }

    /// The deployment is told of as it is now, not as it will be when a slow hook hears of it.
    async fn queue(&self, occasion: Occasion, why: Option<&Failure>, id: DeploymentId) {
        let hears = |queue: &&Queue| queue.events.contains(&occasion);
        if !self.queues.iter().any(|queue| hears(&queue)) {
            return;
        }
        let notice = match self.control.deployment(id).await {
            Ok(deployment) => Arc::new(Notice::new(occasion, why, &deployment)),
            Err(error) => {
                tracing::warn!(deployment = %id, %error, "webhooks are not told of it");
                return;
            }
        };
        for Queue { number, notices, .. } in self.queues.iter().filter(hears) {
            if let Some(gone) = notices.send(weight(occasion), Arc::clone(&notice)) {
                tracing::warn!(
                    webhook = number, deployment = %gone.deployment, occasion = gone.occasion.as_str(),
                    "not told: {WAITING} notices wait for it already, and none matters less"
                );
            }
        }
    }
}

fn weight(occasion: Occasion) -> Weight {
    match occasion {
        Occasion::Opened => Weight::Progress,
        Occasion::Waiting => Weight::Turn,
        Occasion::Committed | Occasion::Reverted | Occasion::Stuck => Weight::End,
    }
}

/// What `event` is to people, if anything, and why it came to that.
fn occasion(event: &Event) -> Option<(Occasion, Option<&Failure>)> {
    match &event.what {
        Happening::Opened => Some((Occasion::Opened, None)),
        Happening::Began if event.step == Some(Step::Approve) => Some((Occasion::Waiting, None)),
        Happening::Stuck { problem } => Some((Occasion::Stuck, Some(problem))),
        Happening::Ended { outcome } => match outcome {
            Outcome::Committed => Some((Occasion::Committed, None)),
            Outcome::Reverted { failure } => Some((Occasion::Reverted, Some(failure))),
            _ => None,
        },
        _ => None,
    }
}
