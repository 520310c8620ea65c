//! The proxies: they lead where the route says, to the instances that are on record.

use super::Reconciler;
use crate::deploy::ledger;
use crate::deploy::ports::{PortResult, ProxyViews};
use crate::model::{Backend, Colour, ServiceName, ServiceRecord, ServiceView};

impl Reconciler {
    /// The proxies lead where the route says.
    pub(super) async fn lead(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
    ) -> PortResult<()> {
        let Some(wanted) = wanted(service, record) else { return Ok(()) };
        let Some(live) = wanted.live.filter(|live| !wanted.of(*live).is_empty()) else {
            return Ok(());
        };
        let views = self.world.proxies.snapshot(service).await?;
        let late = views.values().flatten().any(|view| is_behind(view, &wanted, live));
        let astray = astray(views, &wanted);
        if (late || !astray.is_empty()) && self.is_anothers(service).await? {
            return Ok(());
        }
        if late {
            self.diary.note(service, &format!("proxies did not know the instances of {live}"));
            self.world.proxies.refresh(service, live, wanted.of(live)).await?;
        }
        if astray.is_empty() {
            return Ok(());
        }
        let proxies: Vec<&str> = astray.keys().map(String::as_str).collect();
        self.diary.note(service, &format!("{} did not follow the route", proxies.join(", ")));
        self.world.proxies.restore(service, &astray).await
    }
}

/// The service as the proxies should see it by its record; none without a route.
fn wanted(service: &ServiceName, record: &ServiceRecord) -> Option<ServiceView> {
    let route = record.route.as_ref()?;
    let of = |colour| ledger::backends(record.of(colour).map(|entry| &entry.instance));
    let backends = Colour::BOTH.into_iter().map(|colour| (colour, of(colour)));
    Some(ServiceView {
        service: service.clone(),
        rule: route.rule.clone()?,
        live: route.live(),
        generation: route.generation,
        backends: backends.filter(|(_, backends)| !backends.is_empty()).collect(),
    })
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
fn is_behind(view: &ServiceView, wanted: &ServiceView, live: Colour) -> bool {
    sorted(view.of(live)) != sorted(wanted.of(live))
}

fn sorted(backends: &[Backend]) -> Vec<&Backend> {
    let mut sorted: Vec<&Backend> = backends.iter().collect();
    sorted.sort();
    sorted
}
