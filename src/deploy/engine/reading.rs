use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

use super::{Engine, lock};
use crate::deploy::action;
use crate::deploy::control::{Refusal, RefusalKind};
use crate::deploy::mailbox::{Mailbox, Tally};
use crate::deploy::plan::plan;
use crate::deploy::ports::Past;
use crate::deploy::summary;
use crate::deploy::view::view;
use crate::model::{DeploymentId, DeploymentView, Event, Happening, Plan, Request, ServiceName};

impl Engine {
    /// What `submit` of the same would do.
    pub async fn plan(&self, request: &Request) -> Result<Plan, Refusal> {
        let found = action::foresee(&self.inner.world, request).await?;
        Ok(plan(request, found))
    }

    /// One deployment.
    pub async fn deployment(&self, id: DeploymentId) -> Result<DeploymentView, Refusal> {
        let journal = self.inner.world.journal.read(id).await?;
        if journal.is_empty() {
            return Err(Refusal::new(RefusalKind::Unknown, format!("there is no deployment {id}")));
        }
        view(id, &journal).map_err(|error| {
            Refusal::new(
                RefusalKind::Internal,
                format!("the journal of {id} makes no sense: {error}"),
            )
        })
    }

    /// The newest `limit` deployments, newest first; one whose journal makes no sense is left out.
    pub async fn history(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        self.summaries(service.map_or(Past::All, Past::Of), limit).await
    }

    /// The newest `limit` deployments of `service` that committed, newest first.
    pub async fn committed(
        &self,
        service: &ServiceName,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        self.summaries(Past::Committed(service), limit).await
    }

    /// The deployments that are stuck.
    pub async fn stuck(&self) -> Result<Vec<DeploymentView>, Refusal> {
        Ok(summary::stuck(&*self.inner.world.journal).await?)
    }

    async fn summaries(
        &self,
        past: Past<'_>,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        Ok(summary::summaries(&*self.inner.world.journal, past, limit).await?)
    }

    /// Everything that happened so far.
    pub async fn events(&self, id: DeploymentId) -> Result<Vec<Event>, Refusal> {
        let feed = lock(&self.inner.active).get(&id).map(|active| Arc::clone(&active.feed));
        if let Some(feed) = feed {
            return Ok(feed.so_far());
        }
        self.deployment(id).await?;
        Ok(self.inner.world.log.events(id).await?)
    }

    /// Everything after event `after`, then what happens, until the end.
    pub async fn follow(
        &self,
        id: DeploymentId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Event>, Refusal> {
        let feed = lock(&self.inner.active).get(&id).map(|active| Arc::clone(&active.feed));
        if let Some(feed) = feed {
            return Ok(feed.follow(after));
        }
        let view = self.deployment(id).await?;
        let mut events = self.inner.world.log.events(id).await?;
        events.extend(lost_end(&view, events.last()));
        let rest =
            events.into_iter().filter(move |event| after.is_none_or(|seen| event.seq > seen));
        Ok(stream::iter(rest).boxed())
    }

    /// Everything that happens from now on; a watcher that is too slow misses some.
    #[must_use]
    pub fn watch(&self) -> BoxStream<'static, Event> {
        stream_of(self.inner.outlets.everything())
    }

    /// The same without what gates write and notes on progress; ends, and what is stuck, are the last that
    /// somebody who is too slow misses.
    #[must_use]
    pub fn news(&self) -> BoxStream<'static, Event> {
        stream::unfold(self.inner.outlets.news(), heard).boxed()
    }

    /// News that somebody missed.
    #[must_use]
    pub fn missed_news(&self) -> Tally {
        self.inner.outlets.missed()
    }
}

async fn heard(mut news: Mailbox<Event>) -> Option<(Event, Mailbox<Event>)> {
    let event = news.next().await?;
    let missed = news.take_lost();
    if missed > 0 {
        tracing::warn!(
            missed,
            "somebody who is told what happens is too slow: what matters least went"
        );
    }
    Some((event, news))
}

fn stream_of(events: broadcast::Receiver<Event>) -> BoxStream<'static, Event> {
    let heard = |event: Result<Event, BroadcastStreamRecvError>| {
        let heard = event.inspect_err(|missed| tracing::warn!("a watcher is too slow: {missed}"));
        std::future::ready(heard.ok())
    };
    BroadcastStream::new(events).filter_map(heard).boxed()
}

/// The end of a deployment whose daemon was killed when the journal had it and the log had not: whoever
/// follows would wait for it forever.
fn lost_end(view: &DeploymentView, last: Option<&Event>) -> Option<Event> {
    let told = last.is_some_and(|event| matches!(event.what, Happening::Ended { .. }));
    let outcome = view.outcome.clone().filter(|_| !told)?;
    Some(Event {
        seq: last.map_or(0, |event| event.seq + 1),
        at: view.ended.unwrap_or(view.opened),
        deployment: view.id,
        step: None,
        what: Happening::Ended { outcome },
    })
}
