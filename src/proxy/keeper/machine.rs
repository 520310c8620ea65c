//! One proxy with its files: brings it from what it has to what it should have.

use std::sync::Arc;

use tokio::time::Instant;

use super::change::{Change, Need};
use super::driver::{Driver, addresses};
use super::proof::{self, Claim};
use super::report::Report;
use crate::model::{Colour, ServiceName, ServiceView};
use crate::proxy::certificates::Certificates;
use crate::proxy::error::{Error, Result};
use crate::proxy::install::{self, Staged};
use crate::proxy::page::Sources;
use crate::proxy::probe::{self, HEADER, Prober};
use crate::proxy::render::{self, Rendition};
use crate::proxy::routing::{Entries, Entry};
use crate::proxy::settings::{Kind, Settings};
use crate::proxy::state::{Loaded, State, Store, fingerprint};
use crate::proxy::template::{Source, Template};

/// One proxy, its files and what is known of them.
pub(crate) struct Machine {
    pub settings: Arc<Settings>,
    pub driver: Arc<Driver>,
    pub prober: Prober,
    pub report: Arc<Report>,
    state: State,
    store: Store,
    certificates: Certificates,
    /// What is on disk, as the template of the moment.
    saved: Result<Arc<Template>, Arc<Error>>,
    /// What the configuration file was rendered from.
    in_force: Option<Arc<Template>>,
    /// The text of the configuration file and of the map.
    file: Option<String>,
    map: Option<String>,
    last_reload: Option<Instant>,
}

/// What is to be done for a set of entries.
pub(crate) struct Plan {
    entries: Entries,
    template: Arc<Template>,
    rendition: Rendition,
    /// Whether the proxy must read its files again.
    pub reload: bool,
    need: Need,
    /// It runs, and tells this generation.
    told: Result<Option<String>>,
}

impl Machine {
    /// The machine for `settings`, as it was left.
    pub async fn open(settings: Arc<Settings>, report: Arc<Report>) -> Result<Self> {
        let store = Store::new(&settings.state, &settings.name);
        let (driver, problem) = Driver::start(&settings).await?;
        report.set("answers", problem);
        let mut state = match store.load().await? {
            Some(state) => state,
            None => State::new().map_err(|error| Error::File {
                act: "make a secret for",
                path: settings.output.clone(),
                source: std::io::Error::other(error),
            })?,
        };
        let map = match &settings.map {
            Some(path) => install::read(path).await?,
            None => None,
        };
        driver.observe(&mut state.entries, map.as_deref());
        let in_force = state.template.as_ref().and_then(|source| source.parse().ok());
        let mut machine = Self {
            prober: Prober::new(&state.probe, settings.ca.as_deref())?,
            driver: Arc::new(driver),
            report,
            store,
            certificates: Certificates::default(),
            saved: Err(Arc::new(Error::Ended)),
            in_force: in_force.map(Arc::new),
            file: install::read(&settings.output).await?,
            map,
            last_reload: None,
            state,
            settings,
        };
        machine.look_at_certificates();
        machine.look_at_template();
        Ok(machine)
    }

    /// What the files say.
    pub fn entries(&self) -> &Entries {
        &self.state.entries
    }

    /// The secret that the proxy tells its instances to.
    pub fn secret(&self) -> &str {
        &self.state.probe
    }

    /// The files of the template on disk.
    pub fn template_paths(&self) -> Vec<std::path::PathBuf> {
        let main = self.settings.template.iter().cloned();
        let template = self.saved.as_ref().ok().or(self.in_force.as_ref());
        main.chain(template.iter().flat_map(|t| t.source().paths())).collect()
    }

    /// When the next reload may be ordered.
    pub fn next_reload(&self) -> Option<Instant> {
        Some(self.last_reload? + self.driver.pace())
    }

    /// Whether the configuration file is what was last written.
    pub fn is_own(&self, text: Option<&str>) -> bool {
        text.map(fingerprint) == self.state.written
    }

    /// Whether a configuration was ever written.
    pub fn has_written(&self) -> bool {
        self.state.written.is_some()
    }

    /// Read the certificates anew; answers whether they changed.
    pub fn look_at_certificates(&mut self) -> bool {
        let Some(directory) = self.settings.certificates.clone() else {
            return false;
        };
        match Certificates::read(&directory) {
            Ok(found) => {
                let problems = found.problems.join("; ");
                self.report.set("certificates", (!problems.is_empty()).then_some(problems));
                let changed = found.fingerprint != self.certificates.fingerprint;
                self.certificates = found;
                changed
            }
            Err(error) => {
                let problem =
                    format!("cannot read certificates in `{}`: {error}", directory.display());
                self.report.set("certificates", Some(problem));
                false
            }
        }
    }

    /// Read the template on disk anew; answers whether it changed.
    pub fn look_at_template(&mut self) -> bool {
        let source = match Source::load(&self.settings) {
            Ok(source) => source,
            Err(error) => {
                let error = Error::from(error);
                let changed = !matches!(&self.saved, Err(old) if old.chain() == error.chain());
                self.saved = Err(Arc::new(error));
                return changed;
            }
        };
        if matches!(&self.saved, Ok(template) if *template.source() == source) {
            return false;
        }
        if let Some(in_force) = &self.in_force
            && *in_force.source() == source
        {
            self.saved = Ok(in_force.clone());
            return true;
        }
        let parsed = source.parse().map(Arc::new);
        self.saved = parsed.map_err(|fault| Arc::new(Error::Template(fault)));
        true
    }

    /// The configuration as the template on disk renders it.
    pub fn rendition(&mut self) -> Result<Rendition> {
        self.look_at_template();
        let template = self.saved.clone().map_err(Error::Shared)?;
        self.render(&template, &self.state.entries)
    }

    /// Let the proxy's checker look at `rendition` without putting it in place.
    pub async fn try_check(&self, rendition: &Rendition) -> Result<()> {
        let staged = Staged::write(&self.settings.output, &rendition.text).await?;
        staged.check(&self.settings.check).await?.discard().await;
        Ok(())
    }

    /// The text of the configuration file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    fn render(&self, template: &Template, entries: &Entries) -> Result<Rendition> {
        render::render(template, &self.sources(), entries).map_err(Error::Template)
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            settings: &self.settings,
            answers: self.driver.answers_socket(),
            probe: (HEADER, &self.state.probe),
            certificates: &self.certificates,
        }
    }

    /// Whether `change` can be made at all.
    pub fn admit(&mut self, change: &Change) -> Result<()> {
        let Change::Stage { view, .. } = change else {
            return Ok(());
        };
        let (true, Some(directory)) =
            (view.rule.tls && self.settings.https.is_some(), self.settings.certificates.clone())
        else {
            return Ok(());
        };
        let lacking = |machine: &Self| {
            let mut hosts = view.rule.hosts.iter();
            hosts.find(|host| machine.certificates.for_host(host).is_none()).cloned()
        };
        if lacking(self).is_some() {
            self.look_at_certificates();
        }
        let Some(host) = lacking(self) else {
            return Ok(());
        };
        let all = self.certificates.all.iter();
        Err(Error::NoCertificate {
            host,
            directory,
            known: all.flat_map(|certificate| certificate.names.clone()).collect(),
        })
    }

    /// What has to be done for `entries`.
    pub async fn plan(&mut self, entries: Entries, need: Need) -> Result<Plan> {
        self.look_at_template();
        let template = self.template(need)?;
        let rendition = self.render(&template, &entries)?;
        let told = probe::generation(self.settings.status).await;
        let reload = match &told {
            Err(_) => false,
            Ok(told) => {
                self.wants_reload(&template, &rendition, &entries, need, told.as_deref())?
            }
        };
        Ok(Plan { entries, template, rendition, reload, need, told })
    }

    /// New things need the template on disk to be good; what keeps or restores makes do with the one
    /// that the file was rendered from.
    fn template(&self, need: Need) -> Result<Arc<Template>> {
        match (&self.saved, &self.in_force) {
            (Ok(template), _) => Ok(template.clone()),
            (Err(_), Some(template)) if need != Need::All => Ok(template.clone()),
            (Err(error), _) => Err(Error::Shared(error.clone())),
        }
    }

    fn wants_reload(
        &self,
        template: &Template,
        rendition: &Rendition,
        entries: &Entries,
        need: Need,
        told: Option<&str>,
    ) -> Result<bool> {
        let Some(told) = told else {
            return Ok(true);
        };
        if need == Need::Reload {
            return Ok(true);
        }
        if told == rendition.generation {
            return Ok(false);
        }
        let loaded = self.state.loaded.as_ref().filter(|loaded| loaded.generation == told);
        let Some(loaded) = loaded else {
            return Ok(true);
        };
        if need == Need::Live
            && self.in_force.as_deref().is_some_and(|t| t.source() == template.source())
        {
            return Ok(self.matters(&loaded.entries, entries));
        }
        if self.settings.kind == Kind::Haproxy {
            return self
                .suffices(template, &loaded.entries, entries, told)
                .map(|suffices| !suffices);
        }
        Ok(true)
    }

    /// Whether the public would notice that the proxy has `loaded` and not `entries`.
    fn matters(&self, loaded: &Entries, entries: &Entries) -> bool {
        entries.iter().any(|(service, entry)| {
            let Some(live) = entry.view.live else {
                return false;
            };
            let Some(loaded) = loaded.get(service) else {
                return true;
            };
            let served = match self.settings.kind {
                Kind::Nginx => {
                    addresses(loaded, live) == addresses(entry, live)
                        && loaded.rule_of(live) == entry.rule_of(live)
                }
                Kind::Haproxy => render::slots(loaded) > entry.view.of(live).len(),
            };
            !served
        })
    }

    /// Whether what the running proxy has read holds all that `entries` need: backends that are not
    /// wanted any more, and more slots than needed, are in nobody's way.
    fn suffices(
        &self,
        template: &Template,
        loaded: &Entries,
        entries: &Entries,
        told: &str,
    ) -> Result<bool> {
        let mut all = entries.clone();
        for (service, entry) in loaded {
            all.entry(service.clone()).or_insert_with(|| entry.clone());
        }
        let slots = |entry: &Entry| {
            let had = loaded.get(&entry.view.service).map_or(0, render::slots);
            render::slots(entry).max(had)
        };
        let generation = render::generation(template, &self.sources(), &all, &slots);
        Ok(generation.map_err(Error::Template)? == told)
    }

    /// Do it: check, install, reload if need be, prove. Where that fails, everything is as before.
    pub async fn execute(&mut self, plan: Plan) -> Result<()> {
        let before = (self.file.clone(), self.map.clone());
        self.install(&plan.rendition).await?;
        if let Err(error) = self.run(&plan).await {
            self.put_back(before, &plan).await;
            return Err(error);
        }
        self.in_force = Some(plan.template.clone());
        self.state.template = Some(plan.template.source().clone());
        self.state.written = self.file.as_deref().map(fingerprint);
        self.state.entries = plan.entries;
        self.save().await
    }

    /// Keep what is known on disk.
    pub async fn save(&self) -> Result<()> {
        self.store.save(&self.state).await
    }

    /// Check what is rendered and put it in place; nothing is touched when the checker refuses.
    async fn install(&mut self, rendition: &Rendition) -> Result<()> {
        let old_map = self.map.clone();
        let new_map = self.settings.map.clone().zip(rendition.map.clone());
        // The configuration names the map file, so the checker wants it to be there.
        if let Some((path, map)) = &new_map
            && old_map.as_deref() != Some(map)
        {
            install::replace(path, map).await?;
            self.map = Some(map.clone());
        }
        if self.file.as_deref() == Some(rendition.text.as_str()) {
            return Ok(());
        }
        let installed = self.install_file(&rendition.text).await;
        if installed.is_err()
            && let (Some((path, _)), Some(old)) = (&new_map, &old_map)
            && self.map != old_map
        {
            install::replace(path, old).await?;
            self.map = Some(old.clone());
        }
        installed
    }

    async fn install_file(&mut self, text: &str) -> Result<()> {
        let staged = Staged::write(&self.settings.output, text).await?;
        staged.check(&self.settings.check).await?.install().await?;
        self.file = Some(text.to_owned());
        Ok(())
    }

    /// Make the running proxy follow the files.
    async fn run(&mut self, plan: &Plan) -> Result<()> {
        if let Err(Error::NotRunning { why }) = &plan.told {
            let error = Error::NotRunning { why: why.clone() };
            self.report.set("running", Some(error.to_string()));
            if plan.need == Need::All {
                return Err(error);
            }
            // Its files say how to come back; there is nobody who could be told.
            return match &*self.driver {
                Driver::Nginx { .. } => self.driver.agree(&plan.entries).await,
                Driver::Haproxy { .. } => Ok(()),
            };
        }
        self.report.set("running", None);
        if plan.reload {
            self.reload(plan).await?;
        } else if matches!(&plan.told, Ok(Some(told)) if *told == plan.rendition.generation) {
            self.note_loaded(plan);
        }
        match self.driver.agree(&plan.entries).await {
            // What a template renders may need a reload where ours would not.
            Err(Error::Missing { .. }) if !plan.reload => {
                self.reload(plan).await?;
                self.driver.agree(&plan.entries).await
            }
            agreed => agreed,
        }
    }

    async fn reload(&mut self, plan: &Plan) -> Result<()> {
        self.last_reload = Some(Instant::now());
        self.report.reloaded();
        let Rendition { generation, text, .. } = &plan.rendition;
        // New flags must be there before what tests them, old ones may go after.
        if let Driver::Nginx { proxy, .. } = &*self.driver {
            proxy.raise(&plan.entries).await?;
        }
        self.driver.reload(generation, text).await?;
        self.note_loaded(plan);
        self.last_reload = Some(Instant::now());
        Ok(())
    }

    fn note_loaded(&mut self, plan: &Plan) {
        self.state.loaded = Some(Loaded {
            generation: plan.rendition.generation.clone(),
            entries: plan.entries.clone(),
        });
    }

    /// The files as they were, and the running proxy too where it had taken over already.
    async fn put_back(&mut self, before: (Option<String>, Option<String>), plan: &Plan) {
        let (file, map) = before;
        let mended = self.try_put_back(file, map, plan).await;
        let problem = mended.err().map(|error| {
            let problem =
                format!("the last good configuration could not be put back: {}", error.chain());
            tracing::error!(proxy = self.settings.name, problem);
            problem
        });
        self.report.set("put back", problem);
    }

    async fn try_put_back(
        &mut self,
        file: Option<String>,
        map: Option<String>,
        plan: &Plan,
    ) -> Result<()> {
        if let (Some(path), Some(map)) = (self.settings.map.clone(), &map) {
            install::replace(&path, map).await?;
            self.map = Some(map.clone());
        }
        let Some(file) = file else {
            return Ok(());
        };
        install::replace(&self.settings.output, &file).await?;
        self.file = Some(file.clone());
        let Ok(before) = &plan.told else {
            return Ok(());
        };
        let now = probe::generation(self.settings.status).await?;
        if let Some(before) = before
            && now.as_ref() != Some(before)
        {
            self.report.reloaded();
            self.driver.reload(before, &file).await?;
        }
        self.driver.agree(&self.state.entries).await
    }

    /// Keep a copy of a configuration that somebody else wrote, before it is replaced for the first
    /// time.
    pub async fn keep_foreign(&self) -> Result<()> {
        let (false, Some(text)) = (self.has_written(), &self.file) else {
            return Ok(());
        };
        let mut name = self.settings.output.file_name().unwrap_or_default().to_owned();
        name.push(".before-verdigris");
        let copy = self.settings.output.with_file_name(name);
        if copy.exists() {
            return Ok(());
        }
        install::replace(&copy, text).await
    }

    /// Read the configuration file anew, for what somebody else may have written.
    pub async fn look_at_file(&mut self) -> Result<bool> {
        self.file = install::read(&self.settings.output).await?;
        Ok(self.is_own(self.file.as_deref()))
    }

    /// Whether what a flip of `service` to `to` needs is running.
    pub async fn is_ready(&self, service: &ServiceName, to: Colour) -> Result<bool> {
        let entry = self.entry(service)?;
        if addresses(entry, to).is_empty() {
            return Err(Error::Empty { service: service.clone(), colour: to });
        }
        let told = probe::generation(self.settings.status).await?;
        let loaded = self.state.loaded.as_ref();
        let Some(loaded) = loaded.filter(|loaded| Some(&loaded.generation) == told.as_ref()) else {
            return Ok(false);
        };
        let Some(has) = loaded.entries.get(service) else {
            return Ok(false);
        };
        Ok(match self.settings.kind {
            Kind::Nginx => {
                addresses(has, to) == addresses(entry, to) && has.rule_of(to) == entry.rule_of(to)
            }
            Kind::Haproxy => true,
        })
    }

    fn entry(&self, service: &ServiceName) -> Result<&Entry> {
        let entry = self.state.entries.get(service);
        entry.ok_or_else(|| Error::Unknown(service.clone()))
    }

    /// Move the public requests of `service` to `to` and prove it; where that fails they are moved
    /// back. The configuration file follows when `settle` is called.
    pub async fn flip(&mut self, service: &ServiceName, to: Colour, generation: u64) -> Result<()> {
        let old = self.entry(service)?.clone();
        let mut new = old.clone();
        new.view.live = Some(to);
        new.view.rule = old.rule_of(to).clone();
        new.view.generation = generation;
        new.next = None;
        self.move_public(service, &old, Some(new.clone())).await?;
        let claim = Claim {
            targets: proof::targets(&self.settings, &new.view.rule),
            colour: None,
            accept: addresses(&new, to),
        };
        let proved = proof::prove(&self.prober, &claim, proof::FLIPPED).await;
        if let Err(error) = proved {
            tracing::warn!(proxy = self.settings.name, %service, %error, "flip is not proved: moving back");
            self.move_public(service, &new, Some(old)).await?;
            return Err(error);
        }
        Ok(())
    }

    /// Put `service` to where `before` has its public requests, at once, and prove it where somebody
    /// is served. Everything else is left to a plan.
    pub async fn flip_back(
        &mut self,
        service: &ServiceName,
        before: Option<&ServiceView>,
    ) -> Result<()> {
        let Some(now) = self.state.entries.get(service).cloned() else {
            return Ok(());
        };
        let live = before.and_then(|view| view.live);
        if now.view.live == live {
            return Ok(());
        }
        let mut target = now.clone();
        if let Some(before) = before {
            target.view.rule = before.rule.clone();
            target.view.generation = before.generation;
        }
        target.view.live = live;
        target.next = None;
        self.move_public(service, &now, Some(target.clone())).await?;
        let Some(live) = live else {
            return Ok(());
        };
        if probe::generation(self.settings.status).await.is_err() {
            // Nobody is served: its files say how to come back.
            return Ok(());
        }
        let claim = Claim {
            targets: proof::targets(&self.settings, &target.view.rule),
            colour: None,
            accept: addresses(&target, live),
        };
        proof::prove(&self.prober, &claim, proof::FLIPPED).await
    }

    /// The act itself: files first, so that a proxy that restarts comes back with the right colour,
    /// then what runs.
    async fn move_public(
        &mut self,
        service: &ServiceName,
        old: &Entry,
        new: Option<Entry>,
    ) -> Result<()> {
        let mut after = self.state.entries.clone();
        match &new {
            Some(new) => after.insert(service.clone(), new.clone()),
            None => after.remove(service),
        };
        self.write_map(&after).await?;
        let live = new.as_ref().and_then(|new| new.view.live);
        let whole = live.is_none() || new.as_ref().is_none_or(|new| new.view.rule != old.view.rule);
        let moved = match (live, &*self.driver) {
            (Some(to), driver) => driver.flip(service, to, &after, whole).await,
            (None, driver) => driver.withdraw(&after).await,
        };
        match moved {
            // Nobody runs who could be told; the files are right.
            Err(Error::NotRunning { .. } | Error::Socket { .. })
                if probe::generation(self.settings.status).await.is_err() => {}
            moved => moved?,
        }
        self.state.entries = after;
        Ok(())
    }

    async fn write_map(&mut self, entries: &Entries) -> Result<()> {
        let Some(path) = self.settings.map.clone() else {
            return Ok(());
        };
        let text = render::map_text(entries);
        if self.map.as_deref() != Some(text.as_str()) {
            install::replace(&path, &text).await?;
            self.map = Some(text);
        }
        Ok(())
    }
}
