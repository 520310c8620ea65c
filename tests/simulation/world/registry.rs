//! The registry, which may lose writes.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::time::Instant;
use verdigris::deploy::ports::{PortError, PortResult, Registry, Trouble};
use verdigris::model::{ServiceName, ServiceRecord};

use super::act::Part;
use super::{Daemon, Sim, Truth};

/// Writes that do not end as their answer says.
#[derive(Debug, Default, Clone, Copy)]
pub struct Losses {
    /// Writes that are answered well, and are gone.
    pub forgotten: u32,
    /// Writes that took place, and are answered with an error.
    pub denied: u32,
    /// For how long the daemon under test is stopped right before its next write, as by SIGSTOP.
    pub stopped: Option<Duration>,
}

impl Truth {
    fn write(&mut self, service: &ServiceName, record: &ServiceRecord) -> PortResult<()> {
        if self.losses.forgotten > 0 && self.rng.bool() {
            self.losses.forgotten -= 1;
            self.faults.registry_lied = true;
            self.faults.trouble();
            return Ok(());
        }
        let was = match record.is_empty() {
            true => self.registry.remove(service),
            false => self.registry.insert(service.clone(), record.clone()),
        };
        self.servers.remember(service, was.unwrap_or_default());
        if self.losses.denied > 0 && self.rng.bool() {
            self.losses.denied -= 1;
            return Err(PortError::new(Trouble::Unreachable, "write the registry"));
        }
        Ok(())
    }
}

impl Sim {
    fn stop_before_writing(&self) {
        let mut truth = self.truth();
        if self.daemon == Daemon::Ours
            && let Some(stopped) = truth.losses.stopped.take()
        {
            let now = Instant::now();
            truth.faults.pause = Some((now, now + stopped));
        }
    }

    /// Write `record`, in the place of `read` only if that is given.
    async fn put(
        &self,
        service: &ServiceName,
        read: Option<&ServiceRecord>,
        record: &ServiceRecord,
    ) -> PortResult<()> {
        let daemon = self.daemon;
        self.stop_before_writing();
        self.act("write the registry", |truth| {
            if let Err(trouble) = truth.passes(daemon, service) {
                return Err(PortError::new(trouble, "write the registry"));
            }
            let held = truth.registry.get(service).cloned().unwrap_or_default();
            if read.is_some_and(|read| *read != held) {
                return Err(PortError::new(Trouble::Conflict, "write the registry"));
            }
            let written = truth.write(service, record);
            truth.examine_write(daemon, service, &held);
            written
        })
        .await
    }
}

#[async_trait]
impl Registry for Sim {
    async fn read(&self, service: &ServiceName) -> PortResult<ServiceRecord> {
        self.act("read the registry", |truth| {
            let nothing = truth.says_nothing(Part::Registry);
            if nothing {
                return Ok(ServiceRecord::default());
            }
            let held = truth.registry.get(service).cloned().unwrap_or_default();
            Ok(truth.known(service, held))
        })
        .await
    }

    async fn read_all(&self) -> PortResult<BTreeMap<ServiceName, ServiceRecord>> {
        self.act("read all of the registry", |truth| {
            let nothing = truth.says_nothing(Part::Registry);
            if nothing {
                return Ok(BTreeMap::new());
            }
            let all = truth.registry.clone().into_iter();
            let known = all.map(|(service, held)| {
                let known = truth.known(&service, held);
                (service, known)
            });
            Ok(known.filter(|(_, record)| !record.is_empty()).collect())
        })
        .await
    }

    async fn write(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<()> {
        self.put(service, None, record).await
    }

    async fn replace(
        &self,
        service: &ServiceName,
        read: &ServiceRecord,
        record: &ServiceRecord,
    ) -> PortResult<()> {
        self.put(service, Some(read), record).await
    }

    async fn changes(&self) -> PortResult<BoxStream<'static, ()>> {
        Ok(stream::pending().boxed())
    }
}
