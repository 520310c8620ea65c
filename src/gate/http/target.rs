//! Whom an HTTP gate asks. Pure.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::deploy::ports::{Door, GateContext};
use crate::model::{GatePoint, HttpCheck};

/// One address to ask, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where to connect to.
    pub address: SocketAddr,
    /// The name in `Host`, and in the TLS handshake; none is the address itself.
    pub host: Option<String>,
    /// Path and query.
    pub path: String,
    /// Speak TLS.
    pub tls: bool,
    /// The proxy that it goes through; none asks an instance directly.
    pub through: Option<Through>,
}

/// The proxy that a request goes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    /// Its name.
    pub proxy: String,
    /// PEM file of the authority for its certificate; none is the system's.
    pub ca: Option<PathBuf>,
    /// Header that makes it name the instance that answered.
    pub probe: Option<(String, String)>,
}

impl Target {
    /// The name as it stands in `Host`.
    pub fn authority(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.address.to_string())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)?;
        match &self.through {
            Some(through) => write!(f, " through `{}` ({})", through.proxy, self.address),
            None if self.host.is_some() => write!(f, " at {}", self.address),
            None => Ok(()),
        }
    }
}

/// All whom `check` has to ask, or why there is nobody.
pub fn targets(check: &HttpCheck, context: &GateContext) -> Result<Vec<Target>, &'static str> {
    match context.point {
        GatePoint::PreDeployment => Err("before the start there is nobody to ask"),
        GatePoint::PreIntegration if context.instances.is_empty() => Err("no instance runs"),
        GatePoint::PreIntegration => Ok(direct(check, context)),
        GatePoint::PostIntegration => through_doors(check, context),
    }
}

fn direct(check: &HttpCheck, context: &GateContext) -> Vec<Target> {
    let rule = context.release.policy.route.as_ref();
    let host = rule.and_then(|rule| rule.hosts.first());
    let ask = |address| Target {
        address,
        host: host.cloned(),
        path: check.path.clone(),
        tls: false,
        through: None,
    };
    context.instances.iter().map(|instance| ask(instance.address)).collect()
}

fn through_doors(check: &HttpCheck, context: &GateContext) -> Result<Vec<Target>, &'static str> {
    let Some(rule) = &context.release.policy.route else {
        return Err("the service has no route, so no proxy leads to it");
    };
    let mut targets = Vec::new();
    for door in &context.doors {
        let https = door.https.filter(|_| rule.tls);
        let ways = [(door.http, false), (https, true)];
        let ways = ways.iter().filter_map(|(address, tls)| Some(((*address)?, *tls)));
        for (address, tls) in ways {
            targets.extend(rule.hosts.iter().map(|host| Target {
                address,
                host: Some(host.clone()),
                path: check.path.clone(),
                tls,
                through: Some(through(door)),
            }));
        }
    }
    if targets.is_empty() {
        return Err("no proxy has an `http` or `https` address configured to test");
    }
    Ok(targets)
}

fn through(door: &Door) -> Through {
    Through { proxy: door.proxy.clone(), ca: door.ca.clone(), probe: door.probe.clone() }
}
