//! One proxy with its files, and what is known of them.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::time::Instant;

use super::apply::Files;
use super::change::Change;
use super::driver::Driver;
use super::futile::Futile;
use super::recorded::recorded;
use super::report::Report;
use super::templates::{Templates, Which};
use crate::deploy::ports::Registry;
use crate::model::{RouteRule, ServiceName};
use crate::proxy::certificates::Certificates;
use crate::proxy::error::{Error, Result};
use crate::proxy::install;
use crate::proxy::lock::Lock;
use crate::proxy::probe::Prober;
use crate::proxy::render::Rendition;
use crate::proxy::routing::{Entries, Entry};
use crate::proxy::settings::Settings;
use crate::proxy::state::{State, Store, fingerprint};

/// One proxy: `plan` decides what has to be done, `apply` does it, `public` moves the public.
pub(crate) struct Machine {
    pub settings: Arc<Settings>,
    pub driver: Arc<Driver>,
    pub prober: Prober,
    pub report: Arc<Report>,
    pub(super) state: State,
    pub(super) store: Store,
    pub(super) templates: Templates,
    /// What is in the files.
    pub(super) files: Files,
    pub(super) last_reload: Option<Instant>,
    /// Hashes of configurations that the checker found good, the latest first. What they depend on
    /// beside their text, the certificates, is in their generation.
    pub(super) checked: VecDeque<String>,
    /// The last reload, when it failed.
    pub(super) futile: Option<Futile>,
    pub(super) certificates: Arc<Certificates>,
    /// The fingerprint of those that the proxy is known to have read.
    read: String,
    /// Hosts whose certificate is gone; the running proxy serves them with it still.
    lost: BTreeSet<String>,
    /// The last field: given up after everything else is.
    _lock: Lock,
}

impl Machine {
    /// The machine for `settings`, as it was left, or else as `registry` says.
    pub async fn open(
        settings: Arc<Settings>,
        report: Arc<Report>,
        registry: &dyn Registry,
    ) -> Result<Self> {
        let lock = Lock::take(&settings.state, &settings.name).await?;
        let mut store = Store::new(&settings.state, &settings.name);
        let (driver, problem) = Driver::start(&settings).await?;
        report.set("answers", problem);
        let files = read_files(&settings).await?;
        let mut state = match store.load().await? {
            Some(state) => state,
            None => State::new(recorded(&settings, files.config.as_deref(), registry).await?)?,
        };
        if let Some(loaded) = &state.loaded {
            driver.know(&loaded.entries);
        }
        driver.observe(&mut state.entries, files.map.as_deref());
        let mut machine = Self {
            prober: Prober::new(&state.probe, settings.ca.as_deref())?,
            templates: Templates::open(&settings, state.template.as_ref()),
            driver: Arc::new(driver),
            certificates: Arc::default(),
            read: String::new(),
            lost: BTreeSet::new(),
            last_reload: None,
            futile: None,
            checked: VecDeque::new(),
            report,
            store,
            files,
            state,
            settings,
            _lock: lock,
        };
        machine.look_at_certificates().await;
        Ok(machine)
    }

    /// What the files say.
    pub fn entries(&self) -> &Entries {
        &self.state.entries
    }

    /// What is held of `service`.
    pub fn entry(&self, service: &ServiceName) -> Result<&Entry> {
        let entry = self.state.entries.get(service);
        entry.map(AsRef::as_ref).ok_or_else(|| Error::Unknown(service.clone()))
    }

    /// The secret that the proxy tells its instances to.
    pub fn secret(&self) -> &str {
        &self.state.probe
    }

    /// The files of the template on disk.
    pub fn template_files(&self) -> &[PathBuf] {
        self.templates.files()
    }

    /// When the next reload may be ordered.
    pub fn next_reload(&self) -> Option<Instant> {
        Some(self.last_reload? + self.driver.pace())
    }

    /// Whether somebody else changed the configuration file since it was written.
    pub fn is_tampered(&self) -> bool {
        let Some(written) = &self.state.written else {
            return false;
        };
        let found = self.files.config.as_deref().map(fingerprint);
        found.is_none_or(|found| found != *written && self.store.intended() != Some(&found))
    }

    /// Read the files anew, for what somebody else may have written.
    pub async fn look_at_files(&mut self) -> Result<()> {
        self.files = read_files(&self.settings).await?;
        Ok(())
    }

    /// Read the template on disk anew; answers whether it changed since this was asked last.
    pub fn look_at_template(&mut self) -> bool {
        self.templates.look(&self.settings);
        self.templates.take_change()
    }

    /// Whether certificates changed so that the proxy should read them. While one is gone that is served
    /// with, it should not: it would lose that one too.
    pub fn has_new_certificates(&self) -> bool {
        self.read != self.certificates.fingerprint && self.lost.is_empty()
    }

    /// The proxy has read the certificates that there are.
    pub(super) fn have_read_certificates(&mut self) {
        self.read.clone_from(&self.certificates.fingerprint);
        self.lost.clear();
    }

    /// Read the certificates anew.
    pub async fn look_at_certificates(&mut self) {
        let Some(directory) = self.settings.certificates.clone() else {
            return;
        };
        let (before, failed) = match self.certificates.renewed(&directory).await {
            Ok(Some(found)) => {
                (Some(std::mem::replace(&mut self.certificates, found.into())), None)
            }
            Ok(None) => (None, None),
            Err(error) => (None, Some(error.chain())),
        };
        let bare: Vec<String> =
            self.without_certificates().into_iter().map(str::to_owned).collect();
        let mut problems = self.certificates.problems.clone();
        problems.extend(bare.iter().map(|host| {
            let directory = directory.display();
            format!("no certificate in `{directory}` is for `{host}`, which is served on TLS: put it back")
        }));
        problems.extend(failed);
        self.lost.retain(|host| bare.contains(host));
        if let Some(before) = before {
            self.lost.extend(bare.into_iter().filter(|host| before.for_host(host).is_some()));
        }
        self.report.set("certificates", (!problems.is_empty()).then(|| problems.join("; ")));
    }

    /// The hosts that are served on TLS and have no certificate.
    fn without_certificates(&self) -> Vec<&str> {
        if self.settings.https.is_none() {
            return Vec::new();
        }
        let live = self.state.entries.values().filter(|entry| entry.view.live.is_some());
        let rules = live.map(|entry| &entry.view.rule).filter(|rule| rule.tls);
        let hosts = rules.flat_map(|rule| &rule.hosts).map(String::as_str);
        hosts.filter(|host| self.certificates.for_host(host).is_none()).collect()
    }

    /// The configuration as the template on disk renders it, and whether it differs from the file.
    pub async fn rendition(&mut self) -> Result<(Rendition, bool)> {
        self.templates.look(&self.settings);
        let template = self.templates.get(Which::Saved)?;
        let rendition = self.scribe().render(template, self.state.entries.clone()).await?;
        let differs = self.files.config.as_ref() != Some(&rendition.text);
        Ok((rendition, differs))
    }

    /// Whether `change` can be made at all.
    pub async fn admit(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Stage { view, .. } => self.certified(&view.rule).await,
            _ => Ok(()),
        }
    }

    /// Whether there is a certificate for each host of `rule`, where that needs one.
    pub async fn certified(&mut self, rule: &RouteRule) -> Result<()> {
        if !rule.tls || self.settings.https.is_none() {
            return Ok(());
        }
        if self.without_certificate(rule).is_some() {
            self.look_at_certificates().await;
        }
        match self.without_certificate(rule) {
            None => Ok(()),
            Some(host) => Err(Error::NoCertificate {
                host: host.to_owned(),
                directory: self.settings.certificates.clone().unwrap_or_default(),
                known: self.certificates.names(),
            }),
        }
    }

    /// The first host of `rule` that there is no certificate for.
    fn without_certificate<'a>(&self, rule: &'a RouteRule) -> Option<&'a str> {
        let mut hosts = rule.hosts.iter().map(String::as_str);
        hosts.find(|host| self.certificates.for_host(host).is_none())
    }

    /// Keep a copy of a configuration that somebody else wrote, before it is replaced for the first
    /// time.
    pub async fn keep_foreign(&self) -> Result<()> {
        let (None, Some(text)) = (&self.state.written, &self.files.config) else {
            return Ok(());
        };
        let mut name = self.settings.output.file_name().unwrap_or_default().to_owned();
        name.push(".before-verdigris");
        let copy = self.settings.output.with_file_name(name);
        if copy.exists() { Ok(()) } else { install::replace(&copy, text).await }
    }
}

async fn read_files(settings: &Settings) -> Result<Files> {
    let map = match &settings.map {
        Some(path) => install::read(path).await?,
        None => None,
    };
    Ok(Files { config: install::read(&settings.output).await?, map })
}
