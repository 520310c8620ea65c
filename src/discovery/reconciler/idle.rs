//! Colours that are not live: what was kept long enough goes, and what nobody owns.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::sight::Colours;
use super::{Reconciler, lock};
use crate::deploy::history::Committed;
use crate::deploy::ledger;
use crate::deploy::ports::{PortResult, SwarmSnapshot};
use crate::deploy::record::Prepared;
use crate::deploy::stopwatch::Stopwatch;
use crate::discovery::leftovers::{Allowance, Owner, agreed, kept, leftover};
use crate::model::{Colour, DeploymentId, ServiceName, ServiceRecord};

/// What has to be remembered of idle colours from one look to the next.
#[derive(Default)]
pub(super) struct Idle {
    /// How long ago deployments retired what they keep.
    ages: Mutex<BTreeMap<DeploymentId, Stopwatch>>,
    /// Colours that nobody seemed to own in the last look.
    suspects: Mutex<BTreeMap<ServiceName, SwarmSnapshot>>,
    allowance: Mutex<Allowance>,
}

impl Idle {
    /// Suspect `found` to be left over; answers whether it was so in the last look, too.
    fn suspect(&self, service: &ServiceName, found: &SwarmSnapshot) -> bool {
        let last = lock(&self.suspects).insert(service.clone(), found.clone());
        last.as_ref() == Some(found)
    }

    fn clear(&self, service: &ServiceName) {
        lock(&self.suspects).remove(service);
    }
}

impl Reconciler {
    /// What is kept of the old colour goes when its time is over.
    pub(super) async fn expire(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        colours: &Colours,
    ) -> PortResult<()> {
        let Some(last) = self.last(service).await?.filter(|last| self.is_over(last)) else {
            return Ok(());
        };
        let live = self.agreed(service, record, Some(&last.prepared), colours).await?;
        let Some(idle) = live.and_then(|live| kept(live, &last.prepared, colours)) else {
            return Ok(());
        };
        if self.is_anothers(service).await? {
            return Ok(());
        }
        self.remove(service, record, idle, &service.swarm_name(idle)).await?;
        self.diary.note(service, &format!("{idle} was kept long enough and is removed"));
        Ok(())
    }

    /// Whether what `last` retired was kept as long as it should be.
    fn is_over(&self, last: &Committed) -> bool {
        let Some(retired) = last.retired else { return false };
        let Some(kept) = last.prepared.release.policy.retain.duration else { return false };
        let now = self.world.clock.now();
        let mut ages = lock(&self.idle.ages);
        let age = ages
            .entry(last.deployment)
            .or_insert_with(|| Stopwatch::going(retired, now, Duration::ZERO, kept));
        age.elapsed() > kept
    }

    /// A colour that an ended deployment left goes, when it is so in two looks in a row. What this daemon
    /// knows nothing of is only named.
    pub(super) async fn tidy(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        colours: &Colours,
    ) -> PortResult<()> {
        let Some((colour, found)) = self.find_leftover(service, record, colours).await? else {
            self.idle.clear(service);
            return Ok(());
        };
        let again = self.idle.suspect(service, found);
        let now = self.world.swarm.snapshot(&found.name).await?;
        if !again || now.as_ref() != Some(found) || self.is_anothers(service).await? {
            return Ok(());
        }
        let name = &found.name;
        match self.owner(found).await? {
            Owner::UnderWay => return Ok(()),
            Owner::Ended if self.last(service).await?.is_some() => {}
            Owner::Ended | Owner::Unknown => {
                self.diary.note_standing(service, &left_alone(name));
                return Ok(());
            }
        }
        if let Err(limit) = lock(&self.idle.allowance).take(Instant::now()) {
            let line = format!("`{name}` belongs to no deployment, and stays: {limit}");
            self.diary.note(service, &line);
            return Ok(());
        }
        self.remove(service, record, colour, name).await?;
        self.idle.clear(service);
        self.diary.note(service, &format!("`{name}` belonged to no deployment and is removed"));
        Ok(())
    }

    async fn find_leftover<'a>(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        colours: &'a Colours,
    ) -> PortResult<Option<(Colour, &'a SwarmSnapshot)>> {
        // Most services have one colour only.
        if colours.len() < 2 {
            return Ok(None);
        }
        let last = self.last(service).await?;
        let last = last.as_deref().map(|last| &last.prepared);
        let live = self.agreed(service, record, last, colours).await?;
        let found = live.and_then(|live| leftover(live, last, colours));
        Ok(found.and_then(|colour| Some((colour, colours.get(&colour)?))))
    }

    /// The live colour, if all that is known agrees on it.
    async fn agreed(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        last: Option<&Prepared>,
        colours: &Colours,
    ) -> PortResult<Option<Colour>> {
        let views = self.world.proxies.snapshot(service).await?;
        let led = views.values().flatten().filter_map(|view| view.live).collect();
        Ok(agreed(record, &led, last, colours))
    }

    /// Out of the registry and the proxies first: nobody is sent to an instance that is being stopped.
    async fn remove(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        idle: Colour,
        name: &str,
    ) -> PortResult<()> {
        let mut without = record.clone();
        ledger::retire(&mut without, idle);
        self.world.registry.write(service, &without).await?;
        self.world.proxies.retire(service, idle).await?;
        self.world.swarm.restore(name, None).await
    }
}

/// What is said of a colour that may be another daemon's, or of before the journal was lost.
fn left_alone(name: &str) -> String {
    format!(
        "`{name}` is neither live nor of a deployment that this daemon knows, and is left alone: \
         if nobody needs it, remove it with `docker service rm {name}`"
    )
}
