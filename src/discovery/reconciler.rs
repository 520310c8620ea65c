//! Observes Swarm, registry and proxies, and mends what differs: at start, when something hints at a
//! change, and every now and then.
//!
//! Here is the order of one look; each part of it is a file: `cadence` (when to look), `sight` (what is
//! there), `memory` (what was committed last), `record` (mends the registry), `public` (mends the
//! proxies), `alone` (the proxies while the registry is away), `edited` (tells what was changed by hand),
//! `idle` (removes colours that are kept no longer, or that nobody owns), `cleaning` (test containers and
//! leases), `diary` (what is told).

mod alone;
mod cadence;
mod cleaning;
mod diary;
mod edited;
mod idle;
mod memory;
mod public;
mod record;
mod sight;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, StreamExt};

use self::diary::Diary;
use self::idle::Idle;
use self::memory::Memory;
use self::sight::{Colours, by_owner};
use super::compare::{Findings, compare};
use crate::deploy::engine::Engine;
use crate::deploy::ledger::Ledger;
use crate::deploy::ports::{PortResult, Trouble, World};
use crate::deploy::saga::State;
use crate::model::{Backend, Colour, Mended, ServiceName};

/// Services looked at side by side.
const ABREAST: usize = 8;

/// The proxies do not wait longer for a registry that is silent; the rest of the look does.
const PATIENCE: Duration = Duration::from_millis(500);

/// Keeps registry and proxies true to the Swarm.
pub struct Reconciler {
    world: World,
    ledger: Arc<Ledger>,
    engine: Engine,
    diary: Diary,
    memory: Memory,
    idle: Idle,
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

    /// Look at everything once. False: instances that are wanted do not run yet.
    pub async fn sweep(&self) -> bool {
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
        let (services, soon) = tokio::join!(self.world.swarm.services(), soon);
        let by_owner = by_owner(services?);
        if !matches!(soon, Ok(Ok(_))) {
            self.follow_alone(&by_owner).await;
        }
        let records = match soon {
            Ok(records) => records?,
            Err(_) => reading.await?,
        };
        let names: BTreeSet<ServiceName> = by_owner.keys().chain(records.keys()).cloned().collect();
        // What goes wrong with one service must not keep the others from being mended.
        let mended = stream::iter(names).map(|service| {
            let colours = by_owner.get(&service).cloned().unwrap_or_default();
            async move { self.mend(&service, &colours).await }
        });
        let results: Vec<PortResult<bool>> = mended.buffer_unordered(ABREAST).collect().await;
        results.into_iter().try_fold(true, |all, whole| Ok(all & whole?))
    }

    /// Look at one service and mend it. False: it has to be looked at again soon, since instances that are
    /// wanted do not run yet, or somebody else changed it between this look and the mending.
    async fn mend(&self, service: &ServiceName, colours: &Colours) -> PortResult<bool> {
        match self.try_mend(service, colours).await {
            Err(error) if error.trouble == Trouble::Conflict => {
                tracing::info!(%service, error = error.chain(), "it is looked at again");
                Ok(false)
            }
            mended => mended,
        }
    }

    async fn try_mend(&self, service: &ServiceName, colours: &Colours) -> PortResult<bool> {
        let turn = self.ledger.turn(service);
        let _turn = turn.lock().await;
        let mut known = self.read(service).await?;
        let seen = sight::see(&*self.world.swarm, colours).await?;
        // No deployment begins meanwhile; one that is under way has the last word.
        let idle = self.engine.idle_turn(service);
        if idle.is_some() {
            self.remember(service, &mut known, colours, &seen).await?;
        }
        let owned = self.owned(service).await?;
        let findings = compare(&known.record, &seen, &owned);
        if findings != Findings::default() && self.is_anothers(service).await? {
            return Ok(true);
        }
        self.follow_instances(service, &mut known, findings).await?;
        if idle.is_some() {
            self.tell_edits(service, &known.record, colours).await?;
            self.lead(service, &known.record, &seen).await?;
            self.tidy(service, &mut known, colours).await?;
            self.forget(service, &mut known, colours).await?;
        } else {
            self.lead_on(service, &known.record, &seen, &owned).await?;
        }
        Ok(sight::is_whole(colours, &seen))
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
