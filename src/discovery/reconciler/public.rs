//! The proxies: they lead where the route says, to the instances that are on record.

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
        let Some(wanted) = ledger::public(service, record) else { return Ok(()) };
        if !wanted.live.is_some_and(|live| seen.serves(live) && !wanted.of(live).is_empty()) {
            return Ok(());
        }
        let views = self.world.proxies.snapshot(service).await?;
        let late: Vec<Colour> = Colour::BOTH
            .into_iter()
            .filter(|colour| views.values().flatten().any(|view| is_behind(view, &wanted, *colour)))
            .collect();
        let astray = astray(views, &wanted);
        if late.is_empty() && astray.is_empty() || self.is_anothers(service).await? {
            return Ok(());
        }
        for colour in late {
            self.diary.note(service, &format!("proxies did not know the instances of {colour}"));
            self.world.proxies.refresh(service, colour, wanted.of(colour)).await?;
        }
        if astray.is_empty() {
            return Ok(());
        }
        let proxies: Vec<&str> = astray.keys().map(String::as_str).collect();
        self.diary.note(service, &format!("{} did not follow the route", proxies.join(", ")));
        self.world.proxies.restore(service, &astray).await
    }
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
