//! The registry: what it forgot is put on record again, and instances are followed.

use super::Reconciler;
use crate::deploy::history::{self, Committed};
use crate::deploy::ledger;
use crate::deploy::ports::{PortResult, Trouble};
use crate::discovery::compare::Findings;
use crate::model::{ServiceName, ServiceRecord};

impl Reconciler {
    /// What is on record. What cannot be read, because somebody else wrote it, is made anew from what is
    /// known and observed.
    pub(super) async fn read(&self, service: &ServiceName) -> PortResult<ServiceRecord> {
        match self.world.registry.read(service).await {
            Err(error) if error.trouble == Trouble::Invalid => {
                self.diary.note(service, &error.chain());
                Ok(ServiceRecord::default())
            }
            read => read,
        }
    }

    /// The registry forgot the service: what the journal committed last is put on record again.
    pub(super) async fn remember(
        &self,
        service: &ServiceName,
        record: &mut ServiceRecord,
    ) -> PortResult<()> {
        let forgotten = record.colour.is_none() || record.route.is_none();
        if !forgotten || self.is_busy(service) {
            return Ok(());
        }
        let past = history::committed(&*self.world.journal, service, 1).await?;
        let Some(Committed { prepared, .. }) = past.first() else { return Ok(()) };
        // Another colour on record is somebody else's work, of which this journal knows nothing.
        if record.colour.is_some_and(|colour| colour != prepared.colour) {
            return Ok(());
        }
        if self.is_anothers(service).await? {
            return Ok(());
        }
        ledger::switch(record, prepared);
        ledger::commit(record, prepared);
        self.diary.note(service, "the registry had forgotten the service");
        self.world.registry.write(service, record).await
    }

    /// Registry and proxies learn of instances that came and went.
    pub(super) async fn follow_instances(
        &self,
        service: &ServiceName,
        record: &mut ServiceRecord,
        findings: Findings,
    ) -> PortResult<()> {
        for line in &findings.drift {
            self.diary.note(service, line);
        }
        if let Some(mended) = findings.record {
            self.world.registry.write(service, &mended).await?;
            *record = mended;
        }
        for colour in findings.refresh {
            let backends = ledger::backends(record.of(colour).map(|entry| &entry.instance));
            self.world.proxies.refresh(service, colour, &backends).await?;
        }
        Ok(())
    }
}
