use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::document::{At, LoadError, Problems, Read, parse_toml, read_text, record};

use super::Config;
use super::daemon::DaemonRecord;
use super::engine::EngineRecord;
use super::notify::{self, NotifyRecord};
use super::proxy::{self, ProxyRecord};
use super::registry::RegistryRecord;
use super::token::{self, TokenRecord};

record! {
    /// The whole file.
    struct File {
        daemon: Option<DaemonRecord>,
        swarm: Option<EngineRecord>,
        ci: Option<EngineRecord>,
        registry: Option<At<RegistryRecord>>,
        proxy: Vec<At<ProxyRecord>>,
        notify: Vec<NotifyRecord>,
        token: Vec<TokenRecord>,
    }
}

/// Where relative paths begin.
pub(super) struct Base {
    pub file: String,
    directory: PathBuf,
}

impl Base {
    /// `path` from the root.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }
}

/// The variables of the process that say how an engine is reached.
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The value of `name`, unless it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// The configuration in the file at `path`; `-` is the standard input. What it leaves open about
/// engines is taken from `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH`.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let text = read_text("configuration", path)?;
    let variables = ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"];
    let set = variables.into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)));
    let environment = set.map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(parse(path, &text, environment)?)
}

/// The configuration in `text`, which is called `path`; relative paths begin in its directory.
/// `environment` holds the variables that [`load`] reads.
pub fn parse(
    path: &Path,
    text: &str,
    environment: BTreeMap<String, String>,
) -> Result<Config, Problems> {
    let mut problems = Problems::default();
    let file = path.display().to_string();
    let root = parse_toml(&file, text, &mut problems);
    let base = Base { directory: directory(path), file };
    let environment = Environment(environment);
    let config = root
        .and_then(|root| File::read(&root, &mut problems))
        .and_then(|file| validate(&file, &base, &environment, &mut problems));
    problems.or(config)
}

/// The directory of `path`, from the root where the working directory is known.
fn directory(path: &Path) -> PathBuf {
    let directory = path.parent().unwrap_or(Path::new(""));
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned())
}

fn validate(
    file: &File,
    base: &Base,
    environment: &Environment,
    problems: &mut Problems,
) -> Option<Config> {
    let daemon = DaemonRecord::validate(file.daemon.as_ref(), base, problems);
    if let Some(listen) = file.daemon.as_ref().and_then(DaemonRecord::tcp)
        && file.token.is_empty()
    {
        let what = "anybody could deploy over TCP: there is no token";
        problems.report(&listen.place, what, "add a `[[token]]`, or listen on `unix:` only");
    }
    let swarm = EngineRecord::validate(file.swarm.as_ref(), base, environment, problems);
    let ci = match &file.ci {
        Some(record) => EngineRecord::validate(Some(record), base, environment, problems),
        None => swarm.clone(),
    };
    let registry = RegistryRecord::validate(file.registry.as_ref(), base, problems);
    let proxies = proxy::validate(&file.proxy, base, problems);
    let notify = notify::validate(&file.notify, problems);
    let tokens = token::validate(&file.token, problems);
    Some(Config { daemon, swarm, ci, registry: registry?, proxies, notify, tokens })
}
