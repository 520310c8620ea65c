use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::PortResult;
use crate::model::{ServiceName, ServiceRecord};

/// A change of a record: pure, since it may have to be made again.
pub type Change<'a> = dyn Fn(&mut ServiceRecord) + Send + Sync + 'a;

/// Where instances, colours and routes are recorded.
#[async_trait]
pub trait Registry: Send + Sync {
    /// All that is held of `service`; an empty record when nothing is.
    async fn read(&self, service: &ServiceName) -> PortResult<ServiceRecord>;

    /// All services that Verdigris recorded.
    async fn read_all(&self) -> PortResult<BTreeMap<ServiceName, ServiceRecord>>;

    /// Make what is held of `service` equal to `record`, writing only what differs. Entries that
    /// Verdigris did not make are never touched. Instances are put before the route is published,
    /// and removed after.
    async fn write(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<()>;

    /// As [`write`](Self::write), but only in the place of `read`, what an earlier look has found.
    /// [`Trouble::Conflict`](super::Trouble::Conflict), and nothing is written, when something else is
    /// held by now: whoever was held up between reading and writing undoes nobody's commit. Also to make
    /// sure that it is still so, with a `record` that equals `read`.
    async fn replace(
        &self,
        service: &ServiceName,
        read: &ServiceRecord,
        record: &ServiceRecord,
    ) -> PortResult<()>;

    /// Change what is held of `service`, in the place of what it was when it was read for that; answers
    /// what it is now. [`Trouble::Conflict`](super::Trouble::Conflict), and nothing is written, when
    /// somebody else wrote meanwhile. Also where `change` changes nothing: what was read may be out of
    /// date, and then it would have.
    async fn update(
        &self,
        service: &ServiceName,
        change: &Change<'_>,
    ) -> PortResult<ServiceRecord> {
        let old = self.read(service).await?;
        let mut new = old.clone();
        change(&mut new);
        self.replace(service, &old, &new).await?;
        Ok(new)
    }

    /// Hints that something changed. Ends when the connection does.
    async fn changes(&self) -> PortResult<BoxStream<'static, ()>>;
}
