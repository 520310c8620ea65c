//! The registry: what it forgot is put on record again, and instances are followed.

use super::diary::Matter;
use super::sight::Colours;
use super::{Reconciler, lock};
use crate::deploy::ledger;
use crate::deploy::ports::{PortResult, SwarmSnapshot, Trouble};
use crate::deploy::record::Prepared;
use crate::deploy::saga::State;
use crate::discovery::compare::{Findings, Seen};
use crate::discovery::leftovers::Owner;
use crate::discovery::past::{Contradiction, contradiction, is_remnant};
use crate::model::{Colour, ServiceName, ServiceRecord};

/// Deployments among which the one is looked for that left a record: others may have been refused since.
const RECENT: usize = 10;

/// What is known to be on record.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) record: ServiceRecord,
    /// That was read. Else what is there cannot be read, and is written over whatever it is.
    readable: bool,
}

impl Reconciler {
    /// What is on record. What cannot be read, because somebody else wrote it, is made anew from what is
    /// known and observed.
    pub(super) async fn read(&self, service: &ServiceName) -> PortResult<Known> {
        match self.world.registry.read(service).await {
            Err(error) if error.trouble == Trouble::Invalid => {
                self.diary.note(service, &error.chain());
                Ok(Known { record: ServiceRecord::default(), readable: false })
            }
            read => Ok(Known { record: read?, readable: true }),
        }
    }

    /// Put `record` in the place of what is `known`, if that is there still: a daemon that was stopped
    /// since it read must not undo what another one committed meanwhile.
    pub(super) async fn put(
        &self,
        service: &ServiceName,
        known: &mut Known,
        record: ServiceRecord,
    ) -> PortResult<()> {
        let registry = &self.world.registry;
        match known.readable {
            true => registry.replace(service, &known.record, &record).await?,
            false => registry.write(service, &record).await?,
        }
        *known = Known { record, readable: true };
        Ok(())
    }

    /// Make sure that `record` is what is held still, before the proxies are told what follows from it: this
    /// look may have been held up for long, or answered by somebody who was behind.
    pub(super) async fn confirm(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
    ) -> PortResult<()> {
        self.world.registry.replace(service, record, record).await
    }

    /// What contradicts the journal is put on record again as it was committed last. Only while no
    /// deployment is under way.
    pub(super) async fn remember(
        &self,
        service: &ServiceName,
        known: &mut Known,
        colours: &Colours,
        seen: &Seen,
    ) -> PortResult<()> {
        let Some(last) = self.last(service).await? else { return Ok(()) };
        let last = &last.prepared;
        let exists = |colour| colours.contains_key(&colour);
        let Some(found) = contradiction(&known.record, last, exists) else { return Ok(()) };
        let sure =
            found.is_plain() || (runs(last, colours, seen) && self.owns_all(colours).await?);
        if !sure || self.is_anothers(service).await? {
            return Ok(());
        }
        // From here on a deployment that another daemon has parked finds that this one was here. What
        // one has committed since the look stands in the record: then that is not what was read.
        self.world.leases.take(service).await?;
        let written = self.recall(service, known, last, found).await;
        self.world.leases.leave(service, false).await;
        written
    }

    async fn recall(
        &self,
        service: &ServiceName,
        known: &mut Known,
        last: &Prepared,
        found: Contradiction,
    ) -> PortResult<()> {
        let mut record = known.record.clone();
        ledger::switch(&mut record, last);
        ledger::commit(&mut record, last);
        self.put(service, known, record).await?;
        self.diary.note(service, &found.to_string());
        Ok(())
    }

    /// What a first release that was reverted left on record goes: the registry hid it when it was to be
    /// taken out, and would keep other services from its route.
    pub(super) async fn forget(
        &self,
        service: &ServiceName,
        known: &mut Known,
        colours: &Colours,
    ) -> PortResult<()> {
        if !self.may_be_left(service, &known.record, colours)
            || !self.is_left(service, known).await?
        {
            return Ok(());
        }
        if self.is_anothers(service).await? {
            return Ok(());
        }
        // Somebody may have begun since.
        for colour in Colour::BOTH {
            if self.world.swarm.snapshot(&service.swarm_name(colour)).await?.is_some() {
                return Ok(());
            }
        }
        self.put(service, known, ServiceRecord::default()).await?;
        self.diary.note(service, "what a reverted first release left on record is removed");
        Ok(())
    }

    /// What is on record of a service of which nothing is there may be what a reverted release left.
    pub(super) fn may_be_left(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        colours: &Colours,
    ) -> bool {
        colours.is_empty()
            && *record != ServiceRecord::default()
            && lock(&self.memory.not_left).get(service) != Some(record)
    }

    /// What is on record of a service was left by a deployment of this daemon, which never committed one.
    async fn is_left(&self, service: &ServiceName, known: &Known) -> PortResult<bool> {
        let record = &known.record;
        let is_left = self.last(service).await?.is_none() && self.made(service, record).await?;
        if !is_left {
            lock(&self.memory.not_left).insert(service.clone(), record.clone());
        }
        Ok(is_left)
    }

    /// A recent deployment of this daemon made `record`. One that names a live colour may be what another
    /// daemon has committed.
    async fn made(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<bool> {
        let journal = &self.world.journal;
        let recent = journal.recent(Some(service), RECENT).await?;
        if record.colour.is_none() {
            return Ok(!recent.is_empty());
        }
        for deployment in recent {
            let state = State::replay(&journal.read(deployment).await?).ok();
            if state.as_ref().and_then(State::prepared).is_some_and(|made| is_remnant(record, made))
            {
                return Ok(true);
            }
        }
        Ok(false)
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
        known: &mut Known,
        findings: Findings,
    ) -> PortResult<()> {
        let standing = findings.stands();
        if let Some(mended) = findings.record {
            self.put(service, known, mended).await?;
        }
        for line in &findings.drift {
            self.diary.note(service, line);
        }
        self.diary.stands(service, Matter::Running, standing);
        for colour in findings.refresh {
            let backends = ledger::backends(known.record.of(colour).map(|entry| &entry.instance));
            self.refresh(service, colour, &backends).await?;
        }
        Ok(())
    }
}

/// What was committed last is there, and serves.
fn runs(last: &Prepared, colours: &Colours, seen: &Seen) -> bool {
    let release = colours.get(&last.colour).and_then(SwarmSnapshot::release);
    release == Some(last.release.id.as_str()) && seen.serves(last.colour)
}
