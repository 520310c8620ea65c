//! Moving the public requests of one service: the flip, and the way back.

use std::sync::Arc;

use super::machine::Machine;
use super::proof::{self, Claim};
use crate::model::{Colour, ServiceName, ServiceView};
use crate::proxy::error::{Error, Result};
use crate::proxy::map::map_text;
use crate::proxy::probe;
use crate::proxy::routing::Entry;

impl Machine {
    /// Move the public requests of `service` to `to` and prove it; where that fails they are moved
    /// back. The configuration file follows later: flags or map say what counts.
    pub async fn flip(&mut self, service: &ServiceName, to: Colour, generation: u64) -> Result<()> {
        let old = self.entry(service)?.clone();
        let mut new = old.clone();
        new.make_live(to);
        new.view.generation = generation;
        let claim = self.claim(&new, to);
        let moved = match self.move_public(service, new).await {
            Ok(()) => {
                let proved = proof::prove(&self.prober, &claim, proof::FLIPPED);
                tokio::try_join!(proved, self.driver.make_durable()).map(drop)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = moved {
            let why = error.chain();
            tracing::warn!(proxy = self.settings.name, %service, why, "not proved: moving back");
            self.move_public(service, old).await?;
            return Err(error);
        }
        Ok(())
    }

    /// Put the public requests of `service` to where `before` has them, at once, and prove it where
    /// somebody is served. Everything else is left to a plan; so is this where the instances are not
    /// there yet, since a plan brings them before it moves the requests.
    pub async fn flip_back(
        &mut self,
        service: &ServiceName,
        before: Option<&ServiceView>,
    ) -> Result<()> {
        let Some(now) = self.state.entries.get(service) else {
            return Ok(());
        };
        let live = before.and_then(|view| view.live);
        if now.view.live == live {
            return Ok(());
        }
        let mut target = Entry::clone(now);
        if let Some(before) = before {
            target.view.rule = before.rule.clone();
            target.view.generation = before.generation;
        }
        target.view.live = live;
        target.next = None;
        if let Some(live) = live {
            let ready = match self.runs(&target, live).await {
                // Nobody would be there.
                Err(Error::Empty { .. }) => false,
                // One that cannot be asked is told all the same.
                asked => asked.unwrap_or(true),
            };
            if !ready {
                return Ok(());
            }
        }
        let claim = live.map(|live| self.claim(&target, live));
        self.move_public(service, target).await?;
        match claim {
            Some(claim) if self.is_running().await => {
                proof::prove(&self.prober, &claim, proof::FLIPPED).await
            }
            _ => Ok(()),
        }
    }

    /// That requests of the public are answered by instances of `colour`.
    fn claim(&self, entry: &Entry, colour: Colour) -> Claim {
        Claim {
            targets: proof::targets(&self.settings, &entry.view.rule),
            of: None,
            accept: entry.addresses(colour),
        }
    }

    /// The act itself: files first, so that a proxy that restarts comes back with the right colour,
    /// then what runs.
    async fn move_public(&mut self, service: &ServiceName, new: Entry) -> Result<()> {
        let old = self.state.entries.get(service);
        // What was not live may have left its route to somebody else.
        let same_rule =
            old.is_some_and(|old| old.view.live.is_some() && old.view.rule == new.view.rule);
        let new = Arc::new(new);
        let mut after = self.state.entries.clone();
        after.insert(service.clone(), new.clone());
        if self.settings.map.is_some() {
            self.write_map(&map_text(&after)).await?;
        }
        let moved = match new.view.live {
            Some(to) if same_rule => self.driver.flip(&new, to).await,
            _ => self.driver.route(&after).await,
        };
        match moved {
            // Nobody runs who could be told; the files are right.
            Err(Error::NotRunning { .. } | Error::Socket { .. }) if !self.is_running().await => {}
            moved => moved?,
        }
        self.state.entries = after;
        Ok(())
    }

    /// One that is silent may go on any time, with what it was told last.
    async fn is_running(&self) -> bool {
        !probe::is_closed(self.settings.status).await
    }
}
