//! Colours that are not live: which of them were kept long enough, or are owned by nobody, and go.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::diary::Matter;
use super::record::Known;
use super::sight::Colours;
use super::{Reconciler, lock};
use crate::deploy::history::Committed;
use crate::deploy::ports::{PortResult, ProxyViews, SwarmSnapshot};
use crate::deploy::stopwatch::Stopwatch;
use crate::discovery::leftovers::{Allowance, Owner, Spare, spare};
use crate::model::{Colour, DeploymentId, ServiceName, ServiceRecord};

/// What has to be remembered of idle colours from one look to the next.
#[derive(Default)]
pub(super) struct Idle {
    /// How long ago deployments retired what they keep.
    ages: Mutex<BTreeMap<DeploymentId, Stopwatch>>,
    /// Colours that nobody seemed to own in the last look.
    suspects: Mutex<BTreeMap<ServiceName, SwarmSnapshot>>,
    allowance: Mutex<Allowance>,
    /// Colours that are being removed.
    leaving: Mutex<BTreeMap<ServiceName, Colour>>,
}

impl Idle {
    /// Suspect `found` to be left over; answers whether it was so in the last look, too.
    fn suspect(&self, service: &ServiceName, found: &SwarmSnapshot) -> bool {
        let last = lock(&self.suspects).insert(service.clone(), found.clone());
        last.as_ref() == Some(found)
    }

    pub(super) fn clear(&self, service: &ServiceName) {
        lock(&self.suspects).remove(service);
    }

    /// The colour of `service` that is being removed, if one is.
    pub(super) fn leaving(&self, service: &ServiceName) -> Option<Colour> {
        lock(&self.leaving).get(service).copied()
    }

    pub(super) fn leaves(&self, service: &ServiceName, colour: Colour) {
        lock(&self.leaving).insert(service.clone(), colour);
    }

    pub(super) fn has_left(&self, service: &ServiceName) {
        lock(&self.leaving).remove(service);
    }
}

impl Reconciler {
    /// Of two colours the one that is not live goes, when it was kept long enough, or when it is of an
    /// ended deployment that left it. Where it is not clear that it is the idle one, it is only named.
    pub(super) async fn tidy(
        &self,
        service: &ServiceName,
        known: &mut Known,
        colours: &Colours,
        turn: OwnedMutexGuard<()>,
    ) -> PortResult<()> {
        let told = self.tidied(service, known, colours, turn).await?;
        self.diary.stands(service, Matter::Spare, told);
        Ok(())
    }

    /// Whether there is nothing to remove or to say of `colours`, as far as that can be known without
    /// asking further.
    pub(super) fn is_tidy(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        views: &ProxyViews,
        last: Option<&Committed>,
        colours: &Colours,
    ) -> bool {
        if lock(&self.idle.suspects).contains_key(service) {
            return false;
        }
        match beside(record, views, last, colours).filter(|_| colours.len() > 1) {
            None => true,
            Some(Spare::Unowned(_)) => false,
            Some(Spare::Kept(_) | Spare::Unclear) => !last.is_some_and(|last| self.is_over(last)),
        }
    }

    /// What there is to say of a colour that should go and stays.
    async fn tidied(
        &self,
        service: &ServiceName,
        known: &mut Known,
        colours: &Colours,
        turn: OwnedMutexGuard<()>,
    ) -> PortResult<Option<String>> {
        // Most services have one colour only.
        if colours.len() < 2 {
            self.idle.clear(service);
            return Ok(None);
        }
        let last = self.last(service).await?;
        let views = self.world.proxies.snapshot(service).await?;
        let spare = beside(&known.record, &views, last.as_deref(), colours);
        if let Some(Spare::Unowned(colour)) = spare
            && let Some(found) = colours.get(&colour)
        {
            return self.remove_unowned(service, known, (colour, found), turn).await;
        }
        self.idle.clear(service);
        let over = last.is_some_and(|last| self.is_over(&last));
        match spare.filter(|_| over) {
            Some(spare) => self.expire(service, known, colours, spare, turn).await,
            None => Ok(None),
        }
    }

    /// What is kept of the old colour goes when its time is over.
    async fn expire(
        &self,
        service: &ServiceName,
        known: &mut Known,
        colours: &Colours,
        spare: Spare,
        turn: OwnedMutexGuard<()>,
    ) -> PortResult<Option<String>> {
        if self.is_anothers(service).await? {
            return Ok(None);
        }
        let Spare::Kept(idle) = spare else { return Ok(Some(UNCLEAR.to_owned())) };
        let Some(found) = colours.get(&idle) else { return Ok(None) };
        let why = format!("{idle} was kept long enough and is removed");
        self.remove(service, known, (idle, found), turn, why).await?;
        Ok(None)
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
    async fn remove_unowned(
        &self,
        service: &ServiceName,
        known: &mut Known,
        (colour, found): (Colour, &SwarmSnapshot),
        turn: OwnedMutexGuard<()>,
    ) -> PortResult<Option<String>> {
        if !self.idle.suspect(service, found) || self.is_anothers(service).await? {
            return Ok(None);
        }
        let name = &found.name;
        match self.owner(found).await? {
            Owner::UnderWay => return Ok(None),
            Owner::Ended if self.last(service).await?.is_some() => {}
            Owner::Ended | Owner::Unknown => return Ok(Some(left_alone(name))),
        }
        if let Err(limit) = lock(&self.idle.allowance).take(Instant::now()) {
            return Ok(Some(format!("`{name}` belongs to no deployment, and stays: {limit}")));
        }
        let why = format!("`{name}` belonged to no deployment and is removed");
        self.remove(service, known, (colour, found), turn, why).await?;
        Ok(None)
    }
}

/// What the colour beside the live one is; `views` are those of the proxies.
fn beside(
    record: &ServiceRecord,
    views: &ProxyViews,
    last: Option<&Committed>,
    colours: &Colours,
) -> Option<Spare> {
    let led = views.values().flatten().filter_map(|view| view.live).collect();
    spare(record, &led, last.map(|last| &last.prepared), colours)
}

/// What is said when the traffic may be on the colour that should go.
const UNCLEAR: &str = "the old colour was kept long enough, and stays: registry, route and proxies do not \
                       agree on which colour is live; deploy again, or roll back";

/// What is said of a colour that may be another daemon's, or of before the journal was lost.
fn left_alone(name: &str) -> String {
    format!(
        "`{name}` is neither live nor of a deployment that this daemon knows, and is left alone: \
         if nobody needs it, remove it with `docker service rm {name}`"
    )
}
