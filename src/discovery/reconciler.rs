//! Observes Swarm, registry and proxies, and mends what differs: at start, when something hints at a
//! change, and every now and then.
//!
//! Everything is looked at together, at a price that hardly depends on how many services there are. That
//! look may only say that all is well with a service, or as it was told already: whatever it was has
//! passed by the time that something is done about it. So what is to be mended is looked at again by
//! itself, in its turn, and beside all others.
//!
//! Here is the order of both looks; each part of them is a file: `cadence` (when to look), `sight` (what is
//! there), `glance` (whether all is well), `errands` (what goes on beside), `memory` (what was committed
//! last), `record` (mends the registry), `public` (mends the proxies), `alone` (the proxies while the
//! registry is away), `edited` (tells what was changed by hand), `idle` (colours that are kept no longer, or
//! that nobody owns) and `removal` (how they go), `cleaning` (test containers and leases), `diary` (what is
//! told).

mod alone;
mod cadence;
mod cleaning;
mod diary;
mod edited;
mod errands;
mod glance;
mod idle;
mod memory;
mod public;
mod record;
mod removal;
mod sight;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::diary::Diary;
use self::errands::{Errands, Look};
use self::idle::Idle;
use self::memory::Memory;
use self::sight::{Glimpse, by_owner};
use super::compare::{Findings, compare};
use crate::deploy::engine::Engine;
use crate::deploy::ledger::Ledger;
use crate::deploy::ports::{PortResult, Trouble, World};
use crate::deploy::saga::State;
use crate::model::{Backend, Colour, Mended, ServiceName};

/// The proxies do not wait longer for a registry that is silent, nor all services for the mending of one.
const PATIENCE: Duration = Duration::from_millis(500);

/// Keeps registry and proxies true to the Swarm.
pub struct Reconciler {
    world: World,
    ledger: Arc<Ledger>,
    engine: Engine,
    diary: Diary,
    memory: Memory,
    idle: Idle,
    errands: Errands,
}

impl Reconciler {
    /// A reconciler beside `engine`, whose deployments have the last word on their colours.
    #[must_use]
    pub fn new(world: World, ledger: Arc<Ledger>, engine: Engine) -> Self {
        Self {
            diary: Diary::new(Arc::clone(&world.clock)),
            world,
            ledger,
            engine,
            memory: Memory::default(),
            idle: Idle::default(),
            errands: Errands::new(),
        }
    }

    /// What is different from what it should be of `service`; empty when all is well.
    #[must_use]
    pub fn drift(&self, service: &ServiceName) -> Vec<String> {
        self.diary.drift(service)
    }

    /// What was different of `service` within the last hour, and is mended; newest last.
    #[must_use]
    pub fn mended(&self, service: &ServiceName) -> Vec<Mended> {
        self.diary.mended(service)
    }

    /// Why the last sweep could not see everything.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.diary.problem()
    }

    /// Look at everything once. False: instances that are wanted do not run yet, or something is being
    /// mended still.
    async fn sweep(&self) -> bool {
        let result = self.try_sweep().await;
        if let Err(error) = &result {
            tracing::warn!(error = error.chain(), "cannot look at everything");
        }
        let whole = *result.as_ref().unwrap_or(&true);
        self.diary.set_problem(result.err().map(|error| error.chain()));
        whole
    }

    async fn try_sweep(&self) -> PortResult<bool> {
        let mut reading = self.world.registry.read_all();
        let soon = tokio::time::timeout(PATIENCE, &mut reading);
        let (found, soon) = tokio::join!(self.world.swarm.survey(), soon);
        let glimpses = by_owner(found?);
        if !matches!(soon, Ok(Ok(_))) {
            self.follow_alone(&glimpses).await;
        }
        let records = match soon {
            Ok(records) => records?,
            Err(_) => reading.await?,
        };
        let names: BTreeSet<ServiceName> = glimpses.keys().chain(records.keys()).cloned().collect();
        self.diary.keep_troubles(|service| names.contains(service));
        let nothing = Glimpse::default();
        let (mut whole, mut looks) = (true, Vec::new());
        for service in &names {
            let glimpse = glimpses.get(service).unwrap_or(&nothing);
            if self.is_well(service, records.get(service), glimpse).await {
                self.diary.trouble(service, None);
                whole &= glimpse.is_whole();
            } else {
                looks.push(self.errands.look(service, Look::Mend));
            }
        }
        Ok(Errands::all(looks).await && whole)
    }

    /// Look at one service and mend it. False: it has to be looked at again soon, since instances that are
    /// wanted do not run yet, or somebody else changed it between this look and the mending.
    async fn mend(&self, service: &ServiceName) -> PortResult<bool> {
        match self.try_mend(service).await {
            Err(error) if error.trouble == Trouble::Conflict => {
                tracing::info!(%service, error = error.chain(), "it is looked at again");
                Ok(false)
            }
            mended => mended,
        }
    }

    async fn try_mend(&self, service: &ServiceName) -> PortResult<bool> {
        let turn = self.ledger.turn(service);
        let (_turn, place) = self.errands.turn(&turn).await;
        // No deployment begins meanwhile; one that is under way has the last word.
        let idle = self.engine.idle_turn(service);
        let leaving = self.idle.leaving(service);
        let mut known = self.read(service).await?;
        let (colours, seen) = sight::look(&*self.world.swarm, service).await?;
        drop(place);
        if idle.is_some() {
            self.remember(service, &mut known, &colours, &seen).await?;
        }
        let mut owned = self.owned(service).await?;
        owned.extend(leaving);
        let findings = compare(&known.record, &seen, &owned);
        if findings != Findings::default() && self.is_anothers(service).await? {
            return Ok(true);
        }
        self.follow_instances(service, &mut known, findings).await?;
        if let Some(idle) = idle {
            self.tell_edits(service, &known.record, &colours).await?;
            self.lead(service, &known.record, &seen).await?;
            self.forget(service, &mut known, &colours).await?;
            self.tidy(service, &mut known, &colours, idle).await?;
        } else if leaving.is_some() {
            self.lead(service, &known.record, &seen).await?;
        } else {
            self.lead_on(service, &known.record, &seen, &owned).await?;
        }
        Ok(sight::is_whole(&colours, &seen))
    }

    /// Another daemon deploys the service: nothing of it is mended here.
    async fn is_anothers(&self, service: &ServiceName) -> PortResult<bool> {
        let rival = self.world.leases.rival(service).await?;
        if let Some(rival) = &rival {
            tracing::debug!(%service, rival, "left to the daemon that deploys it");
        }
        Ok(rival.is_some())
    }

    /// Tell the proxies of the instances of `colour`, unless a deployment is busy with it by now: one proxy
    /// may have taken seconds over what it was told before, and what was seen of this colour may have been
    /// replaced meanwhile. Answers whether they were told.
    async fn refresh(
        &self,
        service: &ServiceName,
        colour: Colour,
        backends: &[Backend],
    ) -> PortResult<bool> {
        if self.owned(service).await?.contains(&colour) {
            return Ok(false);
        }
        self.world.proxies.refresh(service, colour, backends).await?;
        Ok(true)
    }

    /// The colour that a deployment under way is busy with: it has the last word on it.
    async fn owned(&self, service: &ServiceName) -> PortResult<BTreeSet<Colour>> {
        let Some(deployment) = self.engine.under_way(service) else { return Ok(BTreeSet::new()) };
        let journal = self.world.journal.read(deployment).await?;
        let state = State::replay(&journal).ok();
        Ok(state.as_ref().and_then(sight::busy_with).into_iter().collect())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
