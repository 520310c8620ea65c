use std::io;
use std::path::{Path, PathBuf};

use url::Url;

/// How Consul is reached and what part of it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Any agent's HTTP API: `http://127.0.0.1:8500`, or `https://…`.
    pub address: Url,
    /// File with the ACL token, if Consul wants one. Read again when the token is refused.
    pub token_file: Option<PathBuf>,
    /// PEM file of the authority that the certificate is checked against; none: the system's.
    pub ca: Option<PathBuf>,
    /// PEM files with our certificate and its key, if Consul wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Everything is kept under this key: `verdigris`.
    pub prefix: String,
    /// The datacenter, if it is not the agent's own.
    pub datacenter: Option<String>,
}

impl Settings {
    /// The agent at `address`, the rest as usual.
    #[must_use]
    pub fn new(address: Url) -> Self {
        Self {
            address,
            token_file: None,
            ca: None,
            identity: None,
            prefix: "verdigris".to_owned(),
            datacenter: None,
        }
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read.
    #[error("cannot read the {what} `{path}`")]
    Read {
        /// What it should hold.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("`{path}` holds no {what}")]
    Content {
        /// What it should hold.
        what: &'static str,
        /// Which.
        path: PathBuf,
    },
    /// The address is not one of an HTTP server.
    #[error("`{0}` is not Consul's address: write `http://HOST:8500` or `https://HOST:8501`")]
    Address(Url),
    /// The prefix cannot be a key.
    #[error(
        "`{0}` cannot be the prefix of Consul keys: use letters, digits and `-_.`, with `/` between \
         parts"
    )]
    Prefix(String),
    /// No client can be made of it.
    #[error("cannot set up the connection to Consul")]
    Client(#[source] reqwest::Error),
}

pub(super) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, SettingsError> {
    std::fs::read(path).map_err(|source| SettingsError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}
