use std::path::PathBuf;

use url::Url;

use crate::document::{At, Leaf, Place, Problems, reason, record};

use super::leaves::FilePath;
use super::load::{Base, Environment};

/// The engine when neither `host` nor `DOCKER_HOST` says another.
pub const ENGINE: &str = "unix:///var/run/docker.sock";

/// How a Docker engine is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// As in `DOCKER_HOST`: `unix://PATH`, `tcp://HOST[:PORT]` or `ssh://[USER@]HOST[:PORT]`.
    pub host: String,
    /// TLS for `tcp://`.
    pub tls: Option<Tls>,
    /// Directory of the `config.json` with credentials for registries of images; none: as `docker`
    /// finds it.
    pub docker_config: Option<PathBuf>,
}

/// PEM files for TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The authority that the other side's certificate is checked against; none: the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate and its key, where the other side wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

record! {
    /// `[swarm]`, `[ci]`
    pub(super) struct EngineRecord {
        host: Option<At<Host>>,
        tls: Option<At<TlsRecord>>,
        docker_config: Option<FilePath>,
    }

    /// `tls`
    pub(super) struct TlsRecord {
        ca: FilePath,
        cert: Option<At<FilePath>>,
        key: Option<At<FilePath>>,
    }
}

/// An engine's address, as in `DOCKER_HOST`.
#[derive(Debug, Clone)]
pub(super) struct Host(String);

impl Leaf for Host {
    const WHAT: &'static str = "an engine's address";
    const EXAMPLE: &'static str = "tcp://10.0.0.1:2376";
    /// It may hold a password where none belongs.
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err("the path of its socket is not absolute".to_owned());
            }
            return Ok(Self(text.to_owned()));
        }
        if !(text.starts_with("tcp://") || text.starts_with("ssh://")) {
            return Err("it begins with none of `unix://`, `tcp://` and `ssh://`".to_owned());
        }
        let url = Url::parse(text).map_err(reason)?;
        if url.host_str().is_none_or(|host| host.is_empty() || host.starts_with('-')) {
            return Err("it names no host".to_owned());
        }
        if url.password().is_some() {
            return Err("a password does not belong into it".to_owned());
        }
        if url.scheme() == "tcp" && (!url.username().is_empty() || !matches!(url.path(), "" | "/"))
        {
            return Err("`tcp://` has neither user nor path".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl EngineRecord {
    /// The engine that `record` or else the environment names.
    pub fn validate(
        record: Option<&Self>,
        base: &Base,
        environment: &Environment,
        problems: &mut Problems,
    ) -> Engine {
        let docker_config = record.and_then(|record| record.docker_config.as_ref());
        let docker_config = docker_config.map(|path| base.resolve(&path.0));
        let tls = record.and_then(|record| record.tls.as_ref());
        let files = tls.map(|tls| tls.value.validate(base, problems));
        let Some(At { value: Host(host), .. }) = record.and_then(|record| record.host.as_ref())
        else {
            let (host, found) = environment.engine(base, problems);
            return Engine { host, tls: files.or(found), docker_config };
        };
        if let Some(tls) = tls.filter(|_| !host.starts_with("tcp://")) {
            problems.report(&tls.place, "TLS is for `tcp://` only", "remove it, or change `host`");
        }
        Engine { host: host.clone(), tls: files, docker_config }
    }
}

impl TlsRecord {
    fn validate(&self, base: &Base, problems: &mut Problems) -> Tls {
        let identity = identity(self.cert.as_ref(), self.key.as_ref(), base, problems);
        Tls { ca: Some(base.resolve(&self.ca.0)), identity }
    }
}

/// A certificate and its key: both or neither.
pub(super) fn identity(
    cert: Option<&At<FilePath>>,
    key: Option<&At<FilePath>>,
    base: &Base,
    problems: &mut Problems,
) -> Option<(PathBuf, PathBuf)> {
    let (lonely, missing) = match (cert, key) {
        (Some(cert), Some(key)) => {
            return Some((base.resolve(&cert.value.0), base.resolve(&key.value.0)));
        }
        (Some(cert), None) => (cert, "key"),
        (None, Some(key)) => (key, "cert"),
        (None, None) => return None,
    };
    problems.report(&lonely.place, format!("`{missing}` is missing beside it"), "give both");
    None
}

impl Environment {
    /// The engine that `docker` itself would use here.
    fn engine(&self, base: &Base, problems: &mut Problems) -> (String, Option<Tls>) {
        let Some(host) = self.get("DOCKER_HOST") else { return (ENGINE.to_owned(), None) };
        if let Err(why) = Host::parse(host) {
            let place = Place::start(&base.file).below("DOCKER_HOST");
            let what = format!("the environment's `DOCKER_HOST` is not an engine's address: {why}");
            problems.report(&place, what, "correct it, or write `host`");
        }
        let directory = self.get("DOCKER_CERT_PATH").map(PathBuf::from);
        let verified = host.starts_with("tcp://") && self.get("DOCKER_TLS_VERIFY").is_some();
        let tls = directory.filter(|_| verified).map(|directory| Tls {
            ca: Some(directory.join("ca.pem")),
            identity: Some((directory.join("cert.pem"), directory.join("key.pem"))),
        });
        (host.to_owned(), tls)
    }
}
