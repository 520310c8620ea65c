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
    /// What they held at the last look, also when it makes no template.
    seen: Option<Source>,
    /// The one on disk changed, and nobody has followed it yet.
    changed: bool,
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
            seen: None,
            changed: false,
        };
        templates.look(settings);
        templates.changed = false;
        templates
    }

    /// Read the one on disk anew. Whoever looks first must not take the change from whoever follows
    /// it: that one asks by [`Self::take_change`].
    pub fn look(&mut self, settings: &Settings) {
        self.files = settings.template.iter().cloned().collect();
        match Source::load(settings) {
            Ok(source) => {
                self.files.extend(source.paths());
                if self.seen.as_ref() != Some(&source) {
                    self.saved = self.parse(&source).map_err(Arc::new);
                    self.changed = true;
                }
                self.seen = Some(source);
            }
            Err(error) => {
                let error = Error::from(error);
                let same =
                    self.saved.as_ref().err().is_some_and(|old| old.chain() == error.chain());
                self.changed |= !same;
                self.saved = Err(Arc::new(error));
                self.seen = None;
            }
        }
    }

    /// Whether the one on disk changed since this was asked last.
    pub fn take_change(&mut self) -> bool {
        std::mem::take(&mut self.changed)
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
