//! What can be seen of a configuration without a daemon.

use std::net::TcpListener;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use futures_util::future::join_all;

use super::settings;
use crate::config::{Config, Engine, Listen, Registry};
use crate::deploy::control::{Finding, Severity};
use crate::docker::Client;
use crate::proxy;
use crate::registry::consul::Consul;
use crate::swarm::{self, DockerSwarm};

/// Look at everything that `config` names, as the daemon would find it when it starts now.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let proxies = config.proxies.iter().map(|proxy| examine_proxy(proxy, &config.daemon.state));
    let (swarm, ci, registry, proxies) = tokio::join!(
        examine_swarm(&config.swarm),
        examine_ci(&config.ci),
        examine_registry(config),
        join_all(proxies)
    );
    let mut findings = vec![examine_state(&config.daemon.state)];
    findings.extend(config.daemon.listen.iter().map(examine_listener));
    findings.extend(swarm);
    findings.push(ci);
    findings.extend(registry);
    findings.extend(proxies);
    findings
}

/// What is wrong with the templates of `config`, one line each with file, line and column.
#[must_use]
pub fn check_templates(config: &Config) -> Vec<String> {
    let state = &config.daemon.state;
    let faults =
        config.proxies.iter().filter_map(|it| proxy::check(&settings::proxy(it, state)).err());
    faults.flatten().collect()
}

async fn examine_swarm(engine: &Engine) -> Vec<Finding> {
    match Client::new(&settings::engine(engine)) {
        Ok(client) => DockerSwarm::new(client).examine().await,
        Err(error) => vec![bad("engine", &error.to_string(), "correct `[swarm]`")],
    }
}

async fn examine_ci(engine: &Engine) -> Finding {
    match Client::new(&settings::engine(engine)) {
        Ok(client) => swarm::examine_engine(&client, "ci engine").await,
        Err(error) => bad("ci engine", &error.to_string(), "correct `[ci]`"),
    }
}

async fn examine_registry(config: &Config) -> Vec<Finding> {
    let Registry::Consul(consul) = &config.registry else {
        return vec![good("registry", "embedded, in the state directory".to_owned())];
    };
    match Consul::new(&settings::consul(consul)) {
        Ok(consul) => consul.findings().await,
        Err(error) => vec![bad("registry", &error.to_string(), "correct `[registry]`")],
    }
}

/// The daemon makes the directory where it is missing.
fn examine_state(state: &Path) -> Finding {
    match writable(state) {
        Ok(there) => good("state", format!("`{}` can be written", there.display())),
        Err(why) => {
            bad("state", &why, "run as the daemon's user, or give `[daemon] state` another place")
        }
    }
}

/// `directory`, or the first of its parents that is there, if it can be written to.
fn writable(directory: &Path) -> Result<&Path, String> {
    let there = directory.ancestors().find(|path| path.exists());
    let there = there.ok_or("its file system is not there")?;
    match tempfile::tempfile_in(there) {
        Ok(_) => Ok(there),
        Err(error) => Err(format!("cannot write to `{}`: {error}", there.display())),
    }
}

fn examine_listener(listen: &Listen) -> Finding {
    match listen {
        Listen::Unix(path) => match UnixStream::connect(path) {
            Ok(_) => warning("listener", format!("a daemon answers at `{}` now", path.display())),
            Err(_) => examine_socket(path),
        },
        Listen::Tcp(address) => match TcpListener::bind(address) {
            Ok(_) => good("listener", format!("`{address}` is free")),
            Err(error) => bad(
                "listener",
                &format!("cannot listen on `{address}`: {error}"),
                "stop what listens there (a daemon, perhaps), or give `[daemon] listen` another port",
            ),
        },
    }
}

/// The daemon makes the directory where it is missing, and replaces a socket that nobody answers at.
fn examine_socket(path: &Path) -> Finding {
    let there = std::fs::symlink_metadata(path);
    if there.is_ok_and(|there| !there.file_type().is_socket()) {
        let message = format!("`{}` exists and is not a socket", path.display());
        return bad("listener", &message, "move it away, or give `[daemon] listen` another path");
    }
    match writable(path.parent().unwrap_or(path)) {
        Ok(_) => good("listener", format!("`{}` can be made", path.display())),
        Err(why) => bad(
            "listener",
            &why,
            "run as the daemon's user, or give `[daemon] listen` another path",
        ),
    }
}

async fn examine_proxy(proxy: &crate::config::Proxy, state: &Path) -> Finding {
    let subject = format!("proxy {}", proxy.name);
    let settings = settings::proxy(proxy, state);
    if let Err(faults) = proxy::check(&settings) {
        return bad(&subject, &faults.join("; "), "correct the template");
    }
    let program = proxy.check.first().map(String::as_str).unwrap_or_default();
    if !is_program(program) {
        let message = format!(
            "its checker `{program}` is not found here, so what would be rendered is not checked"
        );
        return bad(&subject, &message, "install it, or give the proxy another `check`");
    }
    let directory = proxy.output.parent().unwrap_or(Path::new("/"));
    if let Err(error) = tempfile::tempfile_in(directory) {
        return bad(
            &subject,
            &format!("cannot write to `{}`: {error}", directory.display()),
            "make the directory, and run as a user who may write to it",
        );
    }
    match proxy::rehearse(&settings).await {
        Ok(()) => good(&subject, "its checker takes what would be rendered".to_owned()),
        Err(error) => {
            let message = [vec![error.chain()], error.details()].concat().join("\n");
            finding(Severity::Bad, &subject, message, error.remedy().as_deref())
        }
    }
}

/// As the shell finds it.
fn is_program(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

fn finding(severity: Severity, subject: &str, message: String, remedy: Option<&str>) -> Finding {
    Finding {
        subject: subject.to_owned(),
        severity,
        message,
        remedy: remedy.map(ToOwned::to_owned),
    }
}

fn good(subject: &str, message: String) -> Finding {
    finding(Severity::Good, subject, message, None)
}

fn warning(subject: &str, message: String) -> Finding {
    finding(Severity::Warning, subject, message, None)
}

fn bad(subject: &str, message: &str, remedy: &str) -> Finding {
    finding(Severity::Bad, subject, message.to_owned(), Some(remedy))
}
