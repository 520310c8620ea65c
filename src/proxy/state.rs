//! What a keeper remembers across restarts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::install;
use super::routing::Entries;
use super::template::Source;
use crate::model::ServiceName;

/// What a keeper has applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Value of the header that asks the proxy for proof.
    pub probe: String,
    /// What the files say.
    pub entries: Entries,
    /// The template that the file was rendered from: a revert must not depend on what was saved
    /// meanwhile.
    pub template: Option<Source>,
    /// SHA-256 of the configuration file as it was written; none before the first time.
    pub written: Option<String>,
    /// The generation that it names.
    #[serde(default)]
    pub generation: Option<String>,
    /// What the running proxy has read, as far as is known.
    pub loaded: Option<Loaded>,
}

/// What a running proxy has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loaded {
    /// The generation that it tells.
    pub generation: String,
    /// What it was rendered from.
    pub entries: Entries,
    /// The services that were live when it was read: nginx serves them by default, even where a flag
    /// that says so is gone.
    #[serde(default)]
    pub defaults: BTreeSet<ServiceName>,
    /// The process that read it.
    #[serde(default)]
    pub process: Option<i32>,
}

/// 128 bits, hexadecimal: not to be guessed, and short enough for nginx's map buckets.
const PROBE_BYTES: usize = 16;

impl State {
    /// The state of a keeper that has never run, with `entries` and a secret of its own.
    pub fn new(entries: Entries) -> Result<Self> {
        let mut secret = [0; PROBE_BYTES];
        getrandom::fill(&mut secret).map_err(|error| Error::File {
            act: "read",
            path: "/dev/urandom".into(),
            source: std::io::Error::other(error),
        })?;
        Ok(Self {
            probe: hex::encode(secret),
            entries,
            template: None,
            written: None,
            generation: None,
            loaded: None,
        })
    }
}

/// The files that a keeper's state is kept in.
#[derive(Debug)]
pub(crate) struct Store {
    path: PathBuf,
    /// Hash of what it holds, so that nothing is written without need.
    holds: Option<String>,
    /// Beside it: the hash of the configuration that is being written.
    next: PathBuf,
    /// What that file holds.
    intended: Option<String>,
}

impl Store {
    /// The store of `proxy` in `directory`.
    pub fn new(directory: &Path, proxy: &str) -> Self {
        let file = |kind| directory.join(format!("proxy-{proxy}.{kind}"));
        Self { path: file("json"), holds: None, next: file("next"), intended: None }
    }

    /// What was saved; none when nothing was.
    pub async fn load(&mut self) -> Result<Option<State>> {
        self.intended = install::read(&self.next).await?;
        let Some(text) = install::read(&self.path).await? else {
            return Ok(None);
        };
        self.holds = Some(fingerprint(&text));
        let failed = |source| Error::Forgotten { path: self.path.clone(), source };
        serde_json::from_str(&text).map(Some).map_err(failed)
    }

    /// Note, durably, that a configuration with `hash` is about to be written: whoever takes up after
    /// a crash between that and [`Self::save`] knows it for our own.
    pub async fn intend(&mut self, hash: &str) -> Result<()> {
        install::replace(&self.next, hash).await?;
        self.intended = Some(hash.to_owned());
        Ok(())
    }

    /// The hash of the configuration that was written last, or was about to be.
    pub fn intended(&self) -> Option<&str> {
        self.intended.as_deref()
    }

    /// Save, durably.
    pub async fn save(&mut self, state: &State) -> Result<()> {
        let text = serde_json::to_string(state).map_err(|error| Error::File {
            act: "write",
            path: self.path.clone(),
            source: error.into(),
        })?;
        let hash = Some(fingerprint(&text));
        if self.holds != hash {
            install::replace(&self.path, &text).await?;
            self.holds = hash;
        }
        Ok(())
    }
}

/// The hash of a file's text, as the state keeps it.
pub(crate) fn fingerprint(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}
