//! While the registry is away, or has nothing to say: proxies follow the instances that run all the same.
//!
//! Which colour is live nobody can say then, and nothing here asks it: each proxy goes on leading where
//! it leads. But an address that it knows may be of a task that Swarm has replaced, and a colour that has
//! nothing but such addresses is down for no need. The registry is mended when it is back.

use std::collections::{BTreeMap, BTreeSet};

use super::Reconciler;
use super::errands::{Errands, Look};
use super::sight::{self, Glimpse};
use crate::deploy::ledger;
use crate::deploy::ports::{PortResult, ProxyViews};
use crate::discovery::compare::Seen;
use crate::model::{Backend, Colour, Registration, ServiceName};

impl Reconciler {
    /// Tell the proxies of the instances that run, where these are not what they know.
    pub(super) async fn follow_alone(&self, glimpses: &BTreeMap<ServiceName, Glimpse>) {
        let mut looks = Vec::new();
        for (service, glimpse) in glimpses {
            if !self.is_followed(service, glimpse).await {
                looks.push(self.errands.look(service, Look::Follow));
            }
        }
        Errands::all(looks).await;
    }

    async fn is_followed(&self, service: &ServiceName, glimpse: &Glimpse) -> bool {
        let Ok(views) = self.world.proxies.snapshot(service).await else { return false };
        let mut colours = glimpse.seen.colours.iter();
        glimpse.is_clear()
            && colours.all(|(colour, entries)| !is_astray(&views, *colour, &running(entries)))
    }

    pub(super) async fn follow_one(&self, service: &ServiceName) -> PortResult<()> {
        let turn = self.ledger.turn(service);
        let (_turn, place) = self.errands.turn(&turn).await;
        // No deployment begins meanwhile; one that is under way has the last word on its colour.
        let _idle = self.engine.idle_turn(service);
        let mut owned = self.owned(service).await?;
        owned.extend(self.idle.leaving(service));
        let (_, seen) = sight::look(&*self.world.swarm, service).await?;
        drop(place);
        self.follow_running(service, &seen, &owned, "the registry is away").await
    }

    /// The proxies learn what runs of the colours that they know and that no deployment is busy with; `why`
    /// the registry does not say it.
    pub(super) async fn follow_running(
        &self,
        service: &ServiceName,
        seen: &Seen,
        owned: &BTreeSet<Colour>,
        why: &str,
    ) -> PortResult<()> {
        let views = self.world.proxies.snapshot(service).await?;
        for (colour, entries) in seen.colours.iter().filter(|(colour, _)| !owned.contains(colour)) {
            let running = running(entries);
            if !is_astray(&views, *colour, &running) {
                continue;
            }
            if self.refresh(service, *colour, &running).await? {
                self.diary.note(service, &format!("{why}: proxies follow what runs of {colour}"));
            }
        }
        Ok(())
    }
}

fn running(entries: &[Registration]) -> Vec<Backend> {
    ledger::backends(entries.iter().map(|entry| &entry.instance))
}

/// A proxy knows instances of `colour`, and others than those that are `running`. Nothing that runs is no
/// reason to empty it, and what it was never told, or told to forget, is not for now.
fn is_astray(views: &ProxyViews, colour: Colour, running: &[Backend]) -> bool {
    let differs = |known: &[Backend]| {
        let mut known = known.to_vec();
        known.sort();
        !known.is_empty() && known != running
    };
    !running.is_empty() && views.values().flatten().any(|view| differs(view.of(colour)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RouteRule, ServiceView};

    fn backends(tasks: &[&str]) -> Vec<Backend> {
        let backend = |task: &&str| Backend {
            task: (*task).to_owned(),
            address: ([10, 0, 0, 1], 8080).into(),
        };
        tasks.iter().map(backend).collect()
    }

    fn knows(tasks: &[&str]) -> ProxyViews {
        let view = ServiceView {
            service: "books-ms".parse().unwrap(),
            rule: RouteRule {
                hosts: vec!["books.example.com".to_owned()],
                path: "/".to_owned(),
                tls: false,
            },
            live: Some(Colour::Blue),
            generation: 1,
            backends: BTreeMap::from([(Colour::Blue, backends(tasks))]),
        };
        BTreeMap::from([("nginx".to_owned(), Some(view)), ("haproxy".to_owned(), None)])
    }

    #[test]
    fn only_what_runs_takes_the_place_of_what_is_known() {
        let astray = |known: &[&str], running: &[&str]| {
            is_astray(&knows(known), Colour::Blue, &backends(running))
        };
        assert!(astray(&["old"], &["new"]));
        assert!(astray(&["one", "gone"], &["one"]));
        assert!(!astray(&["two", "one"], &["one", "two"]), "in whatever order");
        assert!(!astray(&["old"], &[]), "it is never emptied");
        assert!(!astray(&[], &["new"]), "it was never told, or told to forget");
        assert!(!is_astray(&knows(&["one"]), Colour::Green, &backends(&["one"])));
    }
}
