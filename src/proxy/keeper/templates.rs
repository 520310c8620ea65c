//! The template on disk, and the one that the configuration file was rendered from.

use std::path::PathBuf;
use std::sync::Arc;

use crate::proxy::error::{Error, Result};
use crate::proxy::settings::Settings;
use crate::proxy::template::{Source, Template};

/// Both templates; they differ after a bad one was saved.
pub(crate) struct Templates {
    saved: Result<Arc<Template>, Arc<Error>>,
    in_force: Option<Arc<Template>>,
    /// The files that the one on disk is made of, missing ones included.
    files: Vec<PathBuf>,
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one on disk: what is new has to work with it.
    Saved,
    /// The one in force, as long as there is one: what keeps or restores must not depend on what was
    /// saved meanwhile.
    InForce,
}

impl Templates {
    /// The templates, when the file was rendered from `in_force`.
    pub fn open(settings: &Settings, in_force: Option<&Source>) -> Self {
        let mut templates = Self {
            saved: Err(Arc::new(Error::Ended)),
            in_force: in_force.and_then(|source| source.parse().ok()).map(Arc::new),
            files: Vec::new(),
        };
        templates.look(settings);
        templates
    }

    /// Read the one on disk anew; answers whether it changed.
    pub fn look(&mut self, settings: &Settings) -> bool {
        self.files = settings.template.iter().cloned().collect();
        let loaded = Source::load(settings).map_err(Error::from);
        if let Ok(source) = &loaded {
            self.files.extend(source.paths());
        }
        let (saved, changed) = match (loaded, &self.saved) {
            (Ok(source), Ok(old)) if *old.source() == source => return false,
            (Ok(source), _) => (self.parse(&source), true),
            (Err(error), Err(old)) if old.chain() == error.chain() => return false,
            (Err(error), _) => (Err(error), true),
        };
        self.saved = saved.map_err(Arc::new);
        changed
    }

    fn parse(&self, source: &Source) -> Result<Arc<Template>> {
        match &self.in_force {
            Some(template) if template.source() == source => Ok(template.clone()),
            _ => source.parse().map(Arc::new).map_err(Error::Template),
        }
    }

    /// One of the two.
    pub fn get(&self, which: Which) -> Result<Arc<Template>> {
        match (which, &self.in_force) {
            (Which::InForce, Some(template)) => Ok(template.clone()),
            _ => self.saved.clone().map_err(Error::Shared),
        }
    }

    /// The file was rendered from `template`.
    pub fn put_in_force(&mut self, template: Arc<Template>) {
        self.in_force = Some(template);
    }

    /// The files to watch.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}
