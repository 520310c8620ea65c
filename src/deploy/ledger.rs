//! What the registry should hold of a service at each point of a deployment (pure), and the one way
//! in which it is changed: read, change, write, one at a time per service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use super::ports::{Origin, PortResult, ProxyViews, Registry, Trouble};
use super::record::Prepared;
use crate::model::{
    Backend, Colour, Instance, Registration, Route, ServiceName, ServiceRecord, ServiceView,
    Standing,
};

/// How often a change starts over because somebody else wrote between its reading and its writing. The
/// lease keeps other daemons' deployments out; what is left is their reconcilers.
const ATTEMPTS: usize = 5;

/// Changes the registry, one change at a time per service: the engine and the reconciler both do.
pub struct Ledger {
    registry: Arc<dyn Registry>,
    turns: Mutex<BTreeMap<ServiceName, Arc<AsyncMutex<()>>>>,
}

impl Ledger {
    /// A ledger over `registry`.
    #[must_use]
    pub fn new(registry: Arc<dyn Registry>) -> Self {
        Self { registry, turns: Mutex::default() }
    }

    /// Read what is held of `service`, change it, write it: all over again when somebody else wrote
    /// meanwhile. Answers what it is now.
    pub async fn change(
        &self,
        service: &ServiceName,
        change: impl Fn(&mut ServiceRecord) + Send + Sync,
    ) -> PortResult<ServiceRecord> {
        let turn = self.turn(service);
        let _turn = turn.lock().await;
        let mut attempt = 1;
        loop {
            match self.registry.update(service, &change).await {
                Err(error) if error.trouble == Trouble::Conflict && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                done => return done.map_err(|error| error.of(Origin::Registry)),
            }
        }
    }

    /// The turn of `service`: whoever holds its lock is the only one that changes the record, or tells
    /// the proxies what follows from it.
    pub fn turn(&self, service: &ServiceName) -> Arc<AsyncMutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(service.clone()).or_default().clone()
    }
}

/// The new instances stand in the record, as idle, in place of whatever their colour had.
pub fn register(record: &mut ServiceRecord, prepared: &Prepared, instances: &[Instance]) {
    replace(record, prepared.colour, new_entries(prepared, instances));
}

/// Whether [`register`] with the instances that prepare found would change nothing.
#[must_use]
pub fn is_registered(prepared: &Prepared) -> bool {
    let before = &prepared.before.registry;
    let mut after = before.clone();
    register(&mut after, prepared, &prepared.instances);
    after == *before
}

/// The idle colour's entries are what they were before.
pub fn unregister(record: &mut ServiceRecord, prepared: &Prepared) {
    let before = prepared.before.registry.of(prepared.colour).cloned().collect();
    replace(record, prepared.colour, before);
}

/// The route leads to the new colour.
pub fn switch(record: &mut ServiceRecord, prepared: &Prepared) {
    record.route = Some(switched(prepared));
}

/// The route is what it was before.
pub fn unswitch(record: &mut ServiceRecord, prepared: &Prepared) {
    record.route.clone_from(&prepared.before.registry.route);
}

/// The new colour is live on record, the other idle; the rule before is free.
pub fn commit(record: &mut ServiceRecord, prepared: &Prepared) {
    record.colour = Some(prepared.colour);
    if let Some(route) = &mut record.route {
        route.gives_up = None;
    }
    stand(record, prepared.colour);
}

/// The live colour on record is what it was before, and the rule before is reserved again: the route that
/// gives it up is taken back after this.
pub fn uncommit(record: &mut ServiceRecord, prepared: &Prepared) {
    record.colour = prepared.before.registry.colour;
    let switched = switched(prepared);
    if let Some(route) = record.route.as_mut().filter(|route| route.rule == switched.rule) {
        route.gives_up = switched.gives_up;
    }
    for entry in record.instances.values_mut() {
        let live = Some(entry.colour) == prepared.live;
        entry.standing = if live { Standing::Live } else { Standing::Idle };
    }
}

/// A colour has no entries any more.
pub fn retire(record: &mut ServiceRecord, colour: Colour) {
    record.instances.retain(|_, entry| entry.colour != colour);
}

fn stand(record: &mut ServiceRecord, live: Colour) {
    for entry in record.instances.values_mut() {
        entry.standing = if entry.colour == live { Standing::Live } else { Standing::Idle };
    }
}

/// `colour` has exactly `entries`.
pub fn replace(record: &mut ServiceRecord, colour: Colour, entries: Vec<Registration>) {
    retire(record, colour);
    let by_task = entries.into_iter().map(|entry| (entry.instance.task.clone(), entry));
    record.instances.extend(by_task);
}

fn new_entries(prepared: &Prepared, instances: &[Instance]) -> Vec<Registration> {
    let entry = |instance: &Instance| Registration {
        instance: instance.clone(),
        colour: prepared.colour,
        standing: Standing::Idle,
        release: prepared.release.id.clone(),
        image: prepared.release.image.reference(),
    };
    instances.iter().map(entry).collect()
}

/// The route document after the switch. It is newer than all that was known before it, to the proxies
/// too: a registry that answered emptily must not make it look older than what it replaces.
#[must_use]
pub fn switched(prepared: &Prepared) -> Route {
    let before = &prepared.before;
    let recorded = before.registry.route.iter().map(|route| route.generation);
    let followed = before.proxies.values().flatten().map(|view| view.generation);
    let rule = prepared.release.policy.route.clone();
    let old = before.registry.route.as_ref().and_then(|route| route.rule.clone());
    Route {
        generation: recorded.chain(followed).max().unwrap_or(0) + 1,
        gives_up: old.filter(|old| Some(old) != rule.as_ref()),
        rule,
        weights: BTreeMap::from([(prepared.colour, 100), (prepared.colour.other(), 0)]),
        releases: BTreeMap::from([(prepared.colour, prepared.release.id.to_string())]),
    }
}

/// The service as the proxies have to see it while the new instances are staged; none without a route. Where
/// what is live has no route the public is led nowhere, and stays so until the switch.
#[must_use]
pub fn staged(prepared: &Prepared, live: &[Backend], new: &[Backend]) -> Option<ServiceView> {
    let unrouted = has_no_route(&prepared.before.registry);
    let led = prepared.live.filter(|_| !unrouted);
    let mut backends = BTreeMap::from([(prepared.colour, new.to_vec())]);
    if let Some(colour) = led {
        backends.insert(colour, live.to_vec());
    }
    Some(ServiceView {
        service: prepared.release.service.clone(),
        rule: prepared.release.policy.route.clone()?,
        live: led,
        generation: prepared.before.registry.route.as_ref().map_or(0, |route| route.generation),
        backends,
    })
}

/// Whether `record` says that the service has no route, which an empty one does not.
#[must_use]
pub fn has_no_route(record: &ServiceRecord) -> bool {
    record.route.as_ref().is_some_and(|route| route.rule.is_none())
}

/// What the proxies that have a service by `views` are put back to when it has no route: nothing.
#[must_use]
pub fn taken_off(views: ProxyViews) -> ProxyViews {
    let having = views.into_iter().filter(|(_, view)| view.is_some());
    having.map(|(proxy, _)| (proxy, None)).collect()
}

/// The service as the proxies should see it by its record; none without a route.
#[must_use]
pub fn public(service: &ServiceName, record: &ServiceRecord) -> Option<ServiceView> {
    let route = record.route.as_ref()?;
    let of = |colour| backends(record.of(colour).map(|entry| &entry.instance));
    let backends = Colour::BOTH.into_iter().map(|colour| (colour, of(colour)));
    Some(ServiceView {
        service: service.clone(),
        rule: route.rule.clone()?,
        live: route.live(),
        generation: route.generation,
        backends: backends.filter(|(_, backends)| !backends.is_empty()).collect(),
    })
}

/// Instances as the proxies see them.
#[must_use]
pub fn backends<'a>(instances: impl IntoIterator<Item = &'a Instance>) -> Vec<Backend> {
    let mut backends: Vec<Backend> = instances
        .into_iter()
        .map(|instance| Backend { task: instance.task.clone(), address: instance.address })
        .collect();
    backends.sort();
    backends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::fixture;
    use crate::model::RouteRule;
    use crate::model::fixture::draft;

    fn rule(path: &str) -> RouteRule {
        let hosts = vec!["books.example.com".to_owned()];
        RouteRule { hosts, path: path.to_owned(), tls: false }
    }

    /// A deployment of a service that was at `/old`, to `path`.
    fn moving_to(path: &str) -> Prepared {
        let mut before = fixture::prepared(draft());
        before.release.policy.route = Some(rule("/old"));
        let mut prepared = fixture::prepared(draft());
        prepared.release.policy.route = Some(rule(path));
        prepared.before.registry.route = Some(switched(&before));
        prepared
    }

    fn given_up(record: &ServiceRecord) -> Option<RouteRule> {
        record.route.as_ref()?.gives_up.clone()
    }

    #[test]
    fn the_rule_before_is_reserved_until_nothing_can_want_it_back() {
        let prepared = moving_to("/new");
        let mut record = prepared.before.registry.clone();
        switch(&mut record, &prepared);
        assert_eq!(given_up(&record), Some(rule("/old")));
        commit(&mut record, &prepared);
        assert_eq!(given_up(&record), None);
        uncommit(&mut record, &prepared);
        assert_eq!(given_up(&record), Some(rule("/old")), "the route is still to be taken back");
        unswitch(&mut record, &prepared);
        assert_eq!(record.route, prepared.before.registry.route);
    }

    #[test]
    fn a_rule_that_stays_is_not_given_up() {
        let prepared = moving_to("/old");
        let mut record = prepared.before.registry.clone();
        switch(&mut record, &prepared);
        assert_eq!(given_up(&record), None);
    }
}
