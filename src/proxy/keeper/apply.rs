//! Doing what was planned: check, install, reload, and everything back where that fails.

use std::sync::Arc;

use tokio::time::Instant;

use super::driver::Driver;
use super::futile::Futile;
use super::machine::Machine;
use super::plan::Plan;
use super::templates::Which;
use crate::proxy::error::{Error, Result};
use crate::proxy::install::{self, Staged};
use crate::proxy::probe;
use crate::proxy::render::Rendition;
use crate::proxy::state::{Loaded, fingerprint};
use crate::proxy::template::Template;

/// Configurations remembered as good: those of a few services going to and fro.
const MOST_CHECKED: usize = 32;

/// The files that a proxy reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    /// The configuration; none when there is no such file.
    pub config: Option<String>,
    /// The map (`HAProxy`).
    pub map: Option<String>,
}

impl Machine {
    /// Do it. Where that fails, everything is as before.
    pub async fn execute(&mut self, plan: Plan) -> Result<()> {
        let before = self.files.clone();
        if let Err(error) = self.bring(&plan).await {
            self.put_back(before, &plan).await;
            return Err(error);
        }
        self.state.template = Some(plan.template.source().clone());
        self.state.written = self.files.config.as_deref().map(fingerprint);
        self.state.generation = Some(plan.rendition.generation);
        self.templates.put_in_force(plan.template);
        self.state.entries = plan.entries;
        self.store.save(&self.state).await
    }

    async fn bring(&mut self, plan: &Plan) -> Result<()> {
        // The configuration names the map, so the checker wants it to be there.
        if let Some(map) = &plan.rendition.map {
            self.write_map(map).await?;
        }
        if self.files.config.as_ref() != Some(&plan.rendition.text) {
            self.install(&plan.template, &plan.rendition.text).await?;
        }
        self.run(plan).await
    }

    /// Check `text` and put it in place. What was found good lately is not checked again: a rollback
    /// is quick.
    async fn install(&mut self, template: &Template, text: &str) -> Result<()> {
        let mut staged = Staged::write(&self.settings.output, text).await?;
        let hash = fingerprint(text);
        if !self.checked.contains(&hash) {
            staged = self.check(staged, template, text).await?;
            self.checked.push_front(hash.clone());
            self.checked.truncate(MOST_CHECKED);
        }
        self.store.intend(&hash).await?;
        staged.install().await?;
        self.files.config = Some(text.to_owned());
        Ok(())
    }

    /// Let the proxy's checker look at `rendition`, of the template on disk, without putting it in place.
    pub async fn try_check(&self, rendition: &Rendition) -> Result<()> {
        let template = self.templates.get(Which::Saved)?;
        let staged = Staged::write(&self.settings.output, &rendition.text).await?;
        self.check(staged, &template, &rendition.text).await?.discard().await;
        Ok(())
    }

    async fn check(&self, staged: Staged, template: &Template, text: &str) -> Result<Staged> {
        let file = staged.path().to_owned();
        let checked = staged.check(&self.settings.check).await;
        checked.map_err(|error| error.traced(template.source(), &file, text).without(self.secret()))
    }

    /// Make the map file hold `text`.
    pub async fn write_map(&mut self, text: &str) -> Result<()> {
        if let Some(path) = &self.settings.map
            && self.files.map.as_deref() != Some(text)
        {
            install::replace(path, text).await?;
            self.files.map = Some(text.to_owned());
        }
        Ok(())
    }

    /// Make the running proxy follow the files.
    async fn run(&mut self, plan: &Plan) -> Result<()> {
        if let Err(error) = &plan.told {
            return self.run_later(plan, error).await;
        }
        self.report.set("running", None);
        if plan.reload {
            self.reload(plan).await?;
        } else if plan.is_loaded() {
            self.note_loaded(plan, false).await;
        } else if plan.need.is_more() {
            // What suffices for all that is wanted has the certificates that there are.
            self.have_read_certificates();
        }
        match self.driver.agree(&plan.entries).await {
            // A template of one's own may need a reload where ours would not.
            Err(Error::Missing { .. }) if !plan.reload => {
                self.reload(plan).await?;
                self.driver.agree(&plan.entries).await
            }
            agreed => agreed,
        }
    }

    /// The proxy does not run: nothing new can be proved, but its files say how to come back.
    async fn run_later(&mut self, plan: &Plan, seen: &Error) -> Result<()> {
        self.report.set("running", Some(seen.to_string()));
        let why = match seen {
            Error::NotRunning { why } => why.clone(),
            other => other.to_string(),
        };
        match (plan.need, &*self.driver) {
            (need, _) if need.is_more() && !plan.entries_kept(self) => {
                Err(Error::NotRunning { why })
            }
            (_, Driver::Nginx { .. }) => self.driver.agree(&plan.entries).await,
            (_, Driver::Haproxy { .. }) => Ok(()),
        }
    }

    async fn reload(&mut self, plan: &Plan) -> Result<()> {
        self.last_reload = Some(Instant::now());
        self.report.reloaded();
        // New flags must be there before what tests them; old ones may go after.
        if let Driver::Nginx { proxy, .. } = &*self.driver {
            let told = plan.told.as_ref().ok().and_then(Option::as_deref);
            let loaded = told.and_then(|told| self.loaded(told)).map(|loaded| &loaded.entries);
            proxy.raise(&plan.entries, loaded).await?;
        }
        let followed = self.driver.reload(&plan.rendition.generation, &plan.rendition.text).await;
        self.last_reload = Some(Instant::now());
        if let Err(error) = followed {
            let error = Arc::new(error.without(self.secret()));
            let process = self.driver.process().await;
            self.futile = Some(Futile::new(self.futile.as_ref(), process, error.clone()));
            return Err(Error::Shared(error));
        }
        self.futile = None;
        self.note_loaded(plan, true).await;
        Ok(())
    }

    /// The proxy has read what `plan` renders: right now, or at some time before.
    async fn note_loaded(&mut self, plan: &Plan, now: bool) {
        self.have_read_certificates();
        let generation = plan.rendition.generation.clone();
        let process = self.driver.process().await;
        let known =
            self.state.loaded.take().filter(|loaded| {
                !now && loaded.generation == generation && loaded.process == process
            });
        let live = plan.entries.iter().filter(|(_, entry)| entry.view.live.is_some());
        let live = live.map(|(service, _)| service.clone());
        let defaults = known.map_or_else(|| live.collect(), |known| known.defaults);
        let entries = plan.entries.clone();
        self.state.loaded = Some(Loaded { generation, entries, defaults, process });
    }

    /// The files as they were, and the running proxy too where it had taken over already.
    async fn put_back(&mut self, before: Files, plan: &Plan) {
        let mended = self.try_put_back(before, plan).await;
        let problem = mended.err().map(|error| {
            let why = error.chain();
            tracing::error!(proxy = self.settings.name, why, "cannot put the last good files back");
            format!("the last good configuration could not be put back: {why}")
        });
        self.report.set("last good", problem);
    }

    async fn try_put_back(&mut self, before: Files, plan: &Plan) -> Result<()> {
        if let Some(map) = &before.map {
            self.write_map(map).await?;
        }
        if self.files.config != before.config {
            match &before.config {
                Some(text) => install::replace(&self.settings.output, text).await?,
                None => install::remove(&self.settings.output).await?,
            }
            self.files.config.clone_from(&before.config);
        }
        let (Ok(Some(told)), Some(text)) = (&plan.told, &before.config) else {
            return Ok(());
        };
        if probe::generation(self.settings.status).await?.as_ref() != Some(told) {
            // What runs may have been behind the file: a retire needs no reload.
            let ours = self.state.written.as_ref() == Some(&fingerprint(text));
            let generation = self.state.generation.as_ref().filter(|_| ours).unwrap_or(told);
            self.report.reloaded();
            self.driver.reload(generation, text).await?;
        }
        self.driver.agree(&self.state.entries).await
    }
}

impl Plan {
    /// No service is new or changed: what runs is only to follow the template.
    fn entries_kept(&self, machine: &Machine) -> bool {
        self.entries == machine.state.entries
    }
}
