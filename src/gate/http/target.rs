//! Whom an HTTP gate asks. Pure.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use url::{Host, Position, Url};

use crate::deploy::ports::{Door, GateContext};
use crate::model::{Asked, GatePoint, HttpCheck};

/// One address to ask, and under which name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Where to connect to.
    pub address: Address,
    /// The name in `Host`, and in the TLS handshake; none is the address itself.
    pub host: Option<String>,
    /// Path and query.
    pub path: String,
    /// Speak TLS.
    pub tls: bool,
    /// The proxy that it goes through; none asks an instance directly.
    pub through: Option<Through>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// To an address that is known.
    Socket(SocketAddr),
    /// To whatever the name stands for by then, at this port.
    Named(String, u16),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Named(name, port) => write!(f, "{name}:{port}"),
        }
    }
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
        let usual = if self.tls { 443 } else { 80 };
        match (&self.host, &self.address) {
            // Who is asked by name, and not through a proxy, is told the port as well.
            (Some(host), Address::Named(_, port)) if *port != usual => format!("{host}:{port}"),
            (Some(host), _) => host.clone(),
            (None, address) => address.to_string(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.path)?;
        match &self.through {
            Some(through) => write!(f, " through `{}` ({})", through.proxy, self.address),
            None => match (&self.host, &self.address) {
                (Some(_), Address::Socket(address)) => write!(f, " at {address}"),
                _ => Ok(()),
            },
        }
    }
}

/// All whom `check` has to ask, or why there is nobody.
pub fn targets(check: &HttpCheck, context: &GateContext) -> Result<Vec<Target>, &'static str> {
    let path = match &check.asked {
        Asked::Elsewhere { url } => return elsewhere(url).map(|target| vec![target]),
        Asked::Release { path } => path,
    };
    match context.point {
        GatePoint::PreDeployment => Err("before the start there is nobody to ask"),
        GatePoint::PreIntegration if context.instances.is_empty() => Err("no instance runs"),
        GatePoint::PreIntegration => Ok(direct(path, context)),
        GatePoint::PostIntegration => through_doors(path, context),
    }
}

fn elsewhere(url: &Url) -> Result<Target, &'static str> {
    let port = url.port_or_known_default().ok_or("its URL has no port")?;
    let (address, host) = match url.host().ok_or("its URL names nobody")? {
        Host::Domain(name) => (Address::Named(name.to_owned(), port), Some(name.to_owned())),
        Host::Ipv4(ip) => (Address::Socket((ip, port).into()), None),
        Host::Ipv6(ip) => (Address::Socket((ip, port).into()), None),
    };
    let path = url[Position::BeforePath..Position::AfterQuery].to_owned();
    Ok(Target { address, host, path, tls: url.scheme() == "https", through: None })
}

fn direct(path: &str, context: &GateContext) -> Vec<Target> {
    let rule = context.release.policy.route.as_ref();
    let host = rule.and_then(|rule| rule.hosts.first());
    let ask = |address| Target {
        address: Address::Socket(address),
        host: host.cloned(),
        path: path.to_owned(),
        tls: false,
        through: None,
    };
    context.instances.iter().map(|instance| ask(instance.address)).collect()
}

fn through_doors(path: &str, context: &GateContext) -> Result<Vec<Target>, &'static str> {
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
                address: Address::Socket(address),
                host: Some(host.clone()),
                path: path.to_owned(),
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
