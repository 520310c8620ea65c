//! How a colour that is not live goes: out of registry and proxies in the turn of its service, and then out
//! of the Swarm, beside all else: its tasks may be slow to stop.

use tokio::sync::OwnedMutexGuard;

use super::Reconciler;
use super::record::Known;
use crate::deploy::ledger;
use crate::deploy::ports::{PortResult, SwarmSnapshot};
use crate::model::{Colour, ServiceName};

/// A colour that nobody is led to any more, and that is to leave the Swarm.
pub(super) struct Removal {
    service: ServiceName,
    /// Of its Swarm service.
    name: String,
    /// What is told once it has gone.
    why: String,
    /// No deployment of the service begins until then.
    turn: OwnedMutexGuard<()>,
}

impl Reconciler {
    /// Remove the idle colour, if it is as `found` still and the record as `known`. Nobody begins a
    /// deployment meanwhile, for which `turn` is held, and one that another daemon has parked notices that
    /// this one was here.
    pub(super) async fn remove(
        &self,
        service: &ServiceName,
        known: &mut Known,
        (idle, found): (Colour, &SwarmSnapshot),
        turn: OwnedMutexGuard<()>,
        why: String,
    ) -> PortResult<()> {
        self.world.leases.take(service).await?;
        let taken_out = self.take_out(service, known, idle, found).await;
        if !matches!(taken_out, Ok(true)) {
            self.world.leases.leave(service, false).await;
            return taken_out.map(drop);
        }
        self.idle.leaves(service, idle);
        let (service, name) = (service.clone(), found.name.clone());
        self.errands.remove(Removal { service, name, why, turn });
        Ok(())
    }

    /// Out of the registry and the proxies first: nobody is sent to an instance that is being stopped.
    async fn take_out(
        &self,
        service: &ServiceName,
        known: &mut Known,
        idle: Colour,
        found: &SwarmSnapshot,
    ) -> PortResult<bool> {
        let mut without = known.record.clone();
        ledger::retire(&mut without, idle);
        self.put(service, known, without).await?;
        if self.world.swarm.snapshot(&found.name).await?.as_ref() != Some(found) {
            return Ok(false);
        }
        self.world.proxies.retire(service, idle).await?;
        Ok(true)
    }

    /// Remove it from the Swarm, and wait until its tasks have stopped.
    pub(super) async fn see_removed(&self, removal: Removal) {
        let Removal { service, name, why, turn } = removal;
        let removed = self.world.swarm.restore(&name, None).await;
        self.world.leases.leave(&service, false).await;
        match removed {
            Ok(()) => {
                self.idle.clear(&service);
                self.diary.note(&service, &why);
            }
            Err(error) => self.diary.trouble(&service, Some(&error)),
        }
        self.idle.has_left(&service);
        drop(turn);
    }
}
