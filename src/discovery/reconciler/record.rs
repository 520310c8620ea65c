//! The registry: what it forgot is put on record again, and instances are followed.

use super::Reconciler;
use super::sight::Colours;
use crate::deploy::ledger;
use crate::deploy::ports::{PortResult, SwarmSnapshot, Trouble};
use crate::deploy::record::Prepared;
use crate::discovery::compare::{Findings, Seen};
use crate::discovery::leftovers::Owner;
use crate::discovery::past::contradiction;
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

    /// What contradicts the journal is put on record again as it was committed last. Only while no
    /// deployment is under way.
    pub(super) async fn remember(
        &self,
        service: &ServiceName,
        record: &mut ServiceRecord,
        colours: &Colours,
        seen: &Seen,
    ) -> PortResult<()> {
        let Some(last) = self.last(service).await? else { return Ok(()) };
        let last = &last.prepared;
        let exists = |colour| colours.contains_key(&colour);
        let Some(found) = contradiction(record, last, exists) else { return Ok(()) };
        let sure =
            found.is_plain() || (runs(last, colours, seen) && self.owns_all(colours).await?);
        if !sure || self.is_anothers(service).await? {
            return Ok(());
        }
        // From here on a deployment that another daemon has parked finds that this one was here.
        self.world.leases.take(service).await?;
        ledger::switch(record, last);
        ledger::commit(record, last);
        self.diary.note(service, &found.to_string());
        let written = self.world.registry.write(service, record).await;
        self.world.leases.leave(service, false).await;
        written
    }

    /// Each of `colours` was made by a deployment of this daemon that has ended: no other daemon is at
    /// work on the service.
    async fn owns_all(&self, colours: &Colours) -> PortResult<bool> {
        for snapshot in colours.values() {
            if self.owner(snapshot).await? != Owner::Ended {
                return Ok(false);
            }
        }
        Ok(true)
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

/// What was committed last is there, and serves.
fn runs(last: &Prepared, colours: &Colours, seen: &Seen) -> bool {
    let release = colours.get(&last.colour).and_then(SwarmSnapshot::release);
    release == Some(last.release.id.as_str()) && seen.serves(last.colour)
}
