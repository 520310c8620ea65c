use async_trait::async_trait;

use super::PortResult;
use crate::deploy::record::{Journalled, Record};
use crate::model::{DeploymentId, DeploymentView, Event, ServiceName};

/// Which deployments of the past are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past<'a> {
    /// All.
    All,
    /// Those of one service.
    Of(&'a ServiceName),
    /// Those of one service that ended committed.
    Committed(&'a ServiceName),
}

/// The durable log of all deployments.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Append `records`, all of them or none, durably: when this returns they survive a power cut.
    async fn append(&self, deployment: DeploymentId, records: &[Record]) -> PortResult<()>;

    /// All records of a deployment, oldest first; empty when it is unknown. One that is missing or cannot
    /// be read is told in its place, as [`Record::Unreadable`].
    async fn read(&self, deployment: DeploymentId) -> PortResult<Vec<Journalled>>;

    /// Deployments whose last record is not an end.
    async fn unfinished(&self) -> PortResult<Vec<DeploymentId>>;

    /// The newest `limit` deployments, newest first, of one service or of all.
    async fn recent(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> PortResult<Vec<DeploymentId>>;

    /// The newest `limit` deployments of `service` that are older than `before`, newest first, each with its
    /// journal.
    async fn journals(
        &self,
        service: &ServiceName,
        before: Option<DeploymentId>,
        limit: usize,
    ) -> PortResult<Vec<(DeploymentId, Vec<Journalled>)>>;

    /// The newest `limit` deployments of `past`, newest first, each with the summary that was kept of it;
    /// none where that is not all of its journal any more. No journal is read for it.
    async fn summaries(
        &self,
        past: Past<'_>,
        limit: usize,
    ) -> PortResult<Vec<(DeploymentId, Option<DeploymentView>)>>;

    /// Keep `summary`, which tells the first `records` of its deployment's journal. It only spares
    /// reading: losing it is no harm.
    async fn summarize(&self, summary: &DeploymentView, records: usize) -> PortResult<()>;

    /// The highest sequence number that was ever accepted of `service`, also by deployments that are not
    /// kept any more.
    async fn sequence(&self, service: &ServiceName) -> PortResult<Option<u64>>;

    /// Remember that `sequence` was accepted of `service` by a deployment that was open already; the
    /// highest counts.
    async fn accept(&self, service: &ServiceName, sequence: u64) -> PortResult<()>;
}

/// What was said about deployments: for `logs` and for clients that reconnect. Losing the newest of it
/// in a power cut is no harm; the journal is what counts.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Keep an event.
    async fn keep(&self, event: &Event);

    /// The events of a deployment, oldest first.
    async fn events(&self, deployment: DeploymentId) -> PortResult<Vec<Event>>;
}
