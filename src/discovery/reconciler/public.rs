//! The proxies: they lead where the route says, to the instances that are on record.

use std::collections::BTreeSet;

use super::Reconciler;
use crate::deploy::ledger;
use crate::deploy::ports::{PortResult, ProxyViews};
use crate::discovery::compare::Seen;
use crate::model::{Backend, Colour, ServiceName, ServiceRecord, ServiceView};

impl Reconciler {
    /// The proxies lead where the route says, if anything runs there: else they stay where they are.
    pub(super) async fn lead(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        seen: &Seen,
    ) -> PortResult<()> {
        let Some(wanted) = ledger::public(service, record) else {
            return self.lead_nowhere(service, record).await;
        };
        if !leads_somewhere(&wanted, seen) {
            return Ok(());
        }
        let views = self.world.proxies.snapshot(service).await?;
        let late = late(&views, &wanted);
        let astray = astray(views, &wanted);
        if late.is_empty() && astray.is_empty() || self.is_anothers(service).await? {
            return Ok(());
        }
        self.confirm(service, record).await?;
        self.tell(&wanted, late).await?;
        if astray.is_empty() {
            return Ok(());
        }
        self.world.proxies.restore(service, &astray).await?;
        let proxies: Vec<&str> = astray.keys().map(String::as_str).collect();
        self.diary.note(service, &format!("{} did not follow the route", proxies.join(", ")));
        Ok(())
    }

    /// A service without a route is in no proxy.
    async fn lead_nowhere(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<()> {
        if !ledger::has_no_route(record) {
            return Ok(());
        }
        let astray = ledger::taken_off(self.world.proxies.snapshot(service).await?);
        if astray.is_empty() || self.is_anothers(service).await? {
            return Ok(());
        }
        self.confirm(service, record).await?;
        let proxies: Vec<&str> = astray.keys().map(String::as_str).collect();
        let line = format!("{} had the service, which has no route", proxies.join(", "));
        self.diary.note(service, &line);
        self.world.proxies.restore(service, &astray).await
    }
}

impl Reconciler {
    /// Under a deployment, the proxies know the instances of the colours that it is not busy with: one
    /// that missed them when they changed is not told again by a difference in the registry.
    pub(super) async fn lead_on(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        seen: &Seen,
        owned: &BTreeSet<Colour>,
    ) -> PortResult<()> {
        let Some(wanted) = ledger::public(service, record) else {
            if ledger::has_no_route(record) {
                return Ok(());
            }
            // It lost the service, which is put on record again once the deployment has ended.
            return match self.is_anothers(service).await? {
                true => Ok(()),
                false => self.follow_running(service, seen, owned, "it is not on record").await,
            };
        };
        let mut late = late(&self.world.proxies.snapshot(service).await?, &wanted);
        // What is on record of a colour of which nothing was seen is what was known last.
        late.retain(|colour| !owned.contains(colour) && seen.serves(*colour));
        if late.is_empty() || self.is_anothers(service).await? {
            return Ok(());
        }
        self.confirm(service, record).await?;
        self.tell(&wanted, late).await
    }

    async fn tell(&self, wanted: &ServiceView, late: Vec<Colour>) -> PortResult<()> {
        let service = &wanted.service;
        for colour in late {
            if self.refresh(service, colour, wanted.of(colour)).await? {
                let line = format!("proxies did not know the instances of {colour}");
                self.diary.note(service, &line);
            }
        }
        Ok(())
    }
}

/// Whether proxies that have `views` of `service` lead where they should.
pub(super) fn is_led(
    service: &ServiceName,
    record: &ServiceRecord,
    seen: &Seen,
    views: ProxyViews,
) -> bool {
    let Some(wanted) = ledger::public(service, record) else {
        return !ledger::has_no_route(record) || ledger::taken_off(views).is_empty();
    };
    !leads_somewhere(&wanted, seen)
        || (late(&views, &wanted).is_empty() && astray(views, &wanted).is_empty())
}

/// Something runs, and is known, of the colour that `wanted` leads to.
fn leads_somewhere(wanted: &ServiceView, seen: &Seen) -> bool {
    wanted.live.is_some_and(|live| seen.serves(live) && !wanted.of(live).is_empty())
}

/// Colours of which a proxy has other instances than it should.
fn late(views: &ProxyViews, wanted: &ServiceView) -> Vec<Colour> {
    let is_late =
        |colour: &Colour| views.values().flatten().any(|view| is_behind(view, wanted, *colour));
    Colour::BOTH.into_iter().filter(is_late).collect()
}

/// The proxies that do not follow the route, with the view that they should have.
fn astray(views: ProxyViews, wanted: &ServiceView) -> ProxyViews {
    let follows = |view: &ServiceView| {
        view.live == wanted.live && view.rule == wanted.rule && view.generation == wanted.generation
    };
    let astray = views.into_iter().filter(|(_, view)| !view.as_ref().is_some_and(follows));
    astray.map(|(proxy, _)| (proxy, Some(wanted.clone()))).collect()
}

/// A proxy may have missed a change that the registry has: its hint is not given twice.
fn is_behind(view: &ServiceView, wanted: &ServiceView, colour: Colour) -> bool {
    sorted(view.of(colour)) != sorted(wanted.of(colour))
}

fn sorted(backends: &[Backend]) -> Vec<&Backend> {
    let mut sorted: Vec<&Backend> = backends.iter().collect();
    sorted.sort();
    sorted
}
