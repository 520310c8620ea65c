//! What has to be done for a set of entries: decided, not done.

use std::sync::Arc;

use super::machine::Machine;
use super::templates::Which;
use crate::model::{Colour, ServiceName};
use crate::proxy::error::{Error, Result};
use crate::proxy::probe;
use crate::proxy::render::{self, Rendition};
use crate::proxy::routing::{Entries, Entry};
use crate::proxy::settings::Kind;
use crate::proxy::state::Loaded;
use crate::proxy::template::Template;

/// How far a change must have come before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// The files say it, and what the public sees is running. What is already in force is kept so,
    /// whatever was saved as a template meanwhile.
    Live,
    /// All of it is running, by the template in force: what served before is to come back, whatever was
    /// saved as a template meanwhile.
    Back,
    /// All of it is running, by the template on disk.
    All,
}

impl Need {
    /// Whether more than what is there is asked for.
    pub fn is_more(self) -> bool {
        self > Self::Live
    }

    fn template(self) -> Which {
        match self {
            Self::Live | Self::Back => Which::InForce,
            Self::All => Which::Saved,
        }
    }
}

/// What is to be done for a set of entries.
pub(crate) struct Plan {
    pub entries: Entries,
    pub template: Arc<Template>,
    pub rendition: Rendition,
    /// The proxy must read its files again.
    pub reload: bool,
    pub need: Need,
    /// The generation that the running proxy tells; an error when it does not run.
    pub told: Result<Option<String>>,
}

impl Plan {
    /// What the running proxy has read is what this plan renders.
    pub fn is_loaded(&self) -> bool {
        matches!(&self.told, Ok(Some(told)) if *told == self.rendition.generation)
    }
}

impl Machine {
    /// What has to be done for `entries`. `force` asks for a reload in any case.
    pub async fn plan(&mut self, entries: Entries, need: Need, force: bool) -> Result<Plan> {
        self.templates.look(&self.settings);
        let template = self.templates.get(need.template())?;
        let rendition = self.scribe().render(template.clone(), entries.clone()).await?;
        let told = self.told(need).await;
        let reload = match &told {
            Err(_) => false,
            Ok(_) if force => true,
            Ok(None) => true,
            Ok(Some(told)) if *told == rendition.generation => false,
            Ok(Some(told)) => !self.suffices(&template, &entries, need, told).await?,
        };
        Ok(Plan { entries, template, rendition, reload, need, told })
    }

    /// The generation that the running proxy tells. One that runs but does not even listen for the
    /// question goes by other files than ours: it tells none, so that it is made to read them. What is
    /// only kept does not ask for that again and again, since it may be our `status` that is wrong.
    async fn told(&self, need: Need) -> Result<Option<String>> {
        let told = probe::generation(self.settings.status).await;
        if told.is_ok() || !probe::is_closed(self.settings.status).await {
            return told;
        }
        if !self.driver.is_serving().await {
            return told;
        }
        match self.futile().await {
            Some(error) if need == Need::Live => Err(error),
            _ => Ok(None),
        }
    }

    /// Why the proxy need not be told to reload again yet, for what is only kept.
    pub async fn futile(&self) -> Option<Error> {
        let futile = self.futile.as_ref()?;
        futile.reason(self.driver.process().await)
    }

    /// What is known to be running: what was read last, if the proxy still tells its generation.
    pub(super) fn loaded(&self, told: &str) -> Option<&Loaded> {
        self.state.loaded.as_ref().filter(|loaded| loaded.generation == told)
    }

    /// Whether the running proxy goes by what template, settings and certificates are now, be the services
    /// others than those that it has read.
    pub async fn is_current(&mut self) -> bool {
        self.templates.look(&self.settings);
        let (Ok(template), Ok(Some(told))) =
            (self.templates.get(Which::Saved), probe::generation(self.settings.status).await)
        else {
            return false;
        };
        let Some(loaded) = self.loaded(&told) else {
            return false;
        };
        let entries = loaded.entries.clone();
        let now = self.scribe().generation(template, entries, render::slots).await;
        now.is_ok_and(|now| now == told)
    }

    /// Whether what runs does for `entries`, though it is not what they render to.
    async fn suffices(
        &self,
        template: &Arc<Template>,
        entries: &Entries,
        need: Need,
        told: &str,
    ) -> Result<bool> {
        let Some(loaded) = self.loaded(told) else {
            return Ok(false);
        };
        Ok(match (need, self.settings.kind) {
            (Need::Live, _) => {
                self.serves(template, &loaded.entries, entries) && self.lets_go(loaded, entries)
            }
            (Need::Back | Need::All, Kind::Nginx) => false,
            (Need::Back | Need::All, Kind::Haproxy) => {
                self.with(template.clone(), &loaded.entries, entries).await? == told
            }
        })
    }

    /// Whether the public is served by a proxy that has `loaded` as by one that has `entries`.
    fn serves(&self, template: &Template, loaded: &Entries, entries: &Entries) -> bool {
        let kind = self.settings.kind;
        entries.iter().all(|(service, entry)| {
            let Some(live) = entry.view.live else {
                return true;
            };
            loaded.get(service).is_some_and(|has| {
                // A template of one's own may do more with rules than the map does.
                let rule = kind == Kind::Nginx
                    || !template.asks().rules
                    || has.view.rule == entry.view.rule;
                rule && has_colour(kind, has, entry, live)
            })
        })
    }

    /// Whether nobody is served, by a proxy that has `loaded`, who is not to be: nginx has what was live
    /// in its files, while `HAProxy` has it in its map alone.
    fn lets_go(&self, loaded: &Loaded, entries: &Entries) -> bool {
        let lives = |service| entries.get(service).is_some_and(|entry| entry.view.live.is_some());
        self.settings.kind == Kind::Haproxy || loaded.defaults.iter().all(lives)
    }

    /// The name of what has all that `loaded` has and all that `entries` need: backends that are not
    /// wanted any more, and more server slots than needed, are in nobody's way.
    async fn with(
        &self,
        template: Arc<Template>,
        loaded: &Entries,
        entries: &Entries,
    ) -> Result<String> {
        let mut all = entries.clone();
        for (service, entry) in loaded {
            all.entry(service.clone()).or_insert_with(|| entry.clone());
        }
        let loaded = loaded.clone();
        let slots = move |entry: &Entry| {
            let had = loaded.get(&entry.view.service).map_or(0, |entry| render::slots(entry));
            render::slots(entry).max(had)
        };
        self.scribe().generation(template, all, slots).await
    }

    /// What is held of `service`, when the running proxy has `colour` of it just so.
    pub async fn held(&self, service: &ServiceName, colour: Colour) -> Result<Option<Arc<Entry>>> {
        let ready = self.is_ready(service, colour).await?;
        Ok(self.state.entries.get(service).filter(|_| ready).cloned())
    }

    /// Whether what a flip of `service` to `to` needs is running.
    pub async fn is_ready(&self, service: &ServiceName, to: Colour) -> Result<bool> {
        self.runs(self.entry(service)?, to).await
    }

    /// Whether `colour` of `entry` is running, by its rule: what is needed to make it live.
    pub async fn runs(&self, entry: &Entry, colour: Colour) -> Result<bool> {
        let service = &entry.view.service;
        if entry.addresses(colour).is_empty() {
            return Err(Error::Empty { service: service.clone(), colour });
        }
        let told = probe::generation(self.settings.status).await?;
        let loaded = told.as_deref().and_then(|told| self.loaded(told));
        let has = loaded.and_then(|loaded| loaded.entries.get(service));
        Ok(has.is_some_and(|has| has_colour(self.settings.kind, has, entry, colour)))
    }
}

/// Whether a proxy that has read `has` can serve `colour` of `entry`: nginx by the very same
/// addresses and rule, `HAProxy` by enough slots, as the rest is set at run time.
fn has_colour(kind: Kind, has: &Entry, entry: &Entry, colour: Colour) -> bool {
    match kind {
        Kind::Nginx => {
            has.addresses(colour) == entry.addresses(colour)
                && has.rule_of(colour) == entry.rule_of(colour)
        }
        Kind::Haproxy => render::slots(has) >= entry.view.of(colour).len(),
    }
}
