//! The command line: what to ask, how, and for how long.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use verdigris_load::{Config, Group, Kind, Target};

/// Sends requests at a constant rate and counts every one that is lost.
///
/// Clients are given as N or N@RATE: so many per target, sending so many requests per second
/// together (10 per second and client unless said). Ends on SIGTERM or SIGINT, or as told by
/// --for or --stdin. Exit 0: nothing was lost; 1: something was; 2: told nonsense.
#[derive(Debug, Parser)]
#[command(name = "verdigris-load", version)]
pub(crate) struct Cli {
    /// Where to send requests, [NAME=]http[s]://ADDRESS[:PORT]; may be repeated.
    #[arg(long = "target", value_name = "URL", required = true)]
    pub(crate) targets: Vec<TargetArgument>,
    /// The host name to ask for.
    #[arg(long, default_value = "localhost")]
    host: String,
    /// The path to ask for.
    #[arg(long, default_value = "/api/v1/books")]
    path: String,
    /// The authority (PEM file) that signed the certificates of https targets.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Clients with a connection per request.
    #[arg(long, value_name = "N[@RATE]")]
    new: Option<Clients>,
    /// Keep-alive clients that retry nothing.
    #[arg(long, value_name = "N[@RATE]")]
    strict: Option<Clients>,
    /// Keep-alive clients that, like browsers, send a request once more when a reused connection
    /// ended before the first byte of its answer.
    #[arg(long, value_name = "N[@RATE]")]
    standard: Option<Clients>,
    /// Clients whose requests take --delay, one after the other.
    #[arg(long, value_name = "N")]
    slow: Option<usize>,
    /// Clients that read streams of --length, one after the other.
    #[arg(long, value_name = "N")]
    stream: Option<usize>,
    /// Clients that exchange messages over web sockets of --length.
    #[arg(long, value_name = "N[@RATE]")]
    ws: Option<Clients>,
    /// How long a slow request takes, in milliseconds.
    #[arg(long, default_value_t = 1000, value_name = "MS")]
    delay: u64,
    /// How long a stream or a web socket lasts, in seconds.
    #[arg(long, default_value_t = 20, value_name = "SECONDS")]
    length: u64,
    /// An answer that takes longer is lost, in seconds.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS", value_parser = seconds)]
    timeout: f64,
    /// How long to go on, in seconds; without it until a signal.
    #[arg(long = "for", value_name = "SECONDS", value_parser = seconds)]
    pub(crate) duration: Option<f64>,
    /// Also end when standard input is closed.
    #[arg(long)]
    pub(crate) stdin: bool,
    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Keep every answer to clients with a connection per request in the report, for figures about
    /// single switches.
    #[arg(long, requires = "report")]
    keep_new: bool,
    /// Print nothing but errors.
    #[arg(long)]
    pub(crate) quiet: bool,
}

impl Cli {
    /// The load that was asked for.
    pub(crate) fn config(&self) -> anyhow::Result<Config> {
        Ok(Config {
            targets: self.targets()?,
            groups: self.groups()?,
            timeout: Duration::from_secs_f64(self.timeout),
            delay: Duration::from_millis(self.delay),
            length: Duration::from_secs(self.length),
            keep: if self.keep_new { vec![Kind::New] } else { Vec::new() },
            ..Config::default()
        })
    }

    fn targets(&self) -> anyhow::Result<Vec<Target>> {
        let ca = self.ca.as_deref().map(read).transpose()?;
        self.targets
            .iter()
            .map(|argument| {
                if argument.tls && ca.is_none() {
                    bail!("target `{}` is https: name its authority by --ca", argument.name);
                }
                Ok(Target {
                    name: argument.name.clone(),
                    address: argument.address,
                    host: self.host.clone(),
                    path: self.path.clone(),
                    ca: if argument.tls { ca.clone() } else { None },
                })
            })
            .collect()
    }

    fn groups(&self) -> anyhow::Result<Vec<Group>> {
        let in_turn =
            |clients: Option<usize>| clients.map(|clients| Clients { clients, rate: None });
        let groups: Vec<_> = [
            (Kind::New, self.new),
            (Kind::Strict, self.strict),
            (Kind::Standard, self.standard),
            (Kind::Slow, in_turn(self.slow)),
            (Kind::Stream, in_turn(self.stream)),
            (Kind::Ws, self.ws),
        ]
        .into_iter()
        .filter_map(|(kind, clients)| clients.map(|clients| clients.group(kind)))
        .filter(|group| group.clients > 0)
        .collect();
        if groups.is_empty() {
            bail!(
                "there are no clients: give --new, --strict, --standard, --slow, --stream or --ws"
            );
        }
        Ok(groups)
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && Duration::try_from_secs_f64(number).is_ok() => Ok(number),
        _ => Err("must be a number of seconds above 0".to_owned()),
    }
}

/// `N` or `N@RATE`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Clients {
    clients: usize,
    rate: Option<f64>,
}

impl Clients {
    fn group(self, kind: Kind) -> Group {
        let Self { clients, rate } = self;
        // More than 2^52 clients will not be asked for.
        #[allow(clippy::cast_precision_loss)]
        let usual = clients.max(1) as f64 * 10.0;
        Group { kind, clients, rate: rate.unwrap_or(usual) }
    }
}

impl FromStr for Clients {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (clients, rate) = match text.split_once('@') {
            Some((clients, rate)) => (clients, Some(rate)),
            None => (text, None),
        };
        let clients =
            clients.parse().map_err(|_| format!("`{clients}` is not a number of clients"))?;
        let rate = rate.map(|rate| match rate.parse::<f64>() {
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
            _ => Err(format!("`{rate}` is not a rate above 0")),
        });
        Ok(Self { clients, rate: rate.transpose()? })
    }
}

/// `[NAME=]http[s]://ADDRESS[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetArgument {
    name: String,
    address: SocketAddr,
    tls: bool,
}

impl FromStr for TargetArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, url) = text.split_once('=').unwrap_or((text, text));
        let (tls, rest) = if let Some(rest) = url.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = url.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err("must begin with http:// or https://".to_owned());
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let port = if tls { 443 } else { 80 };
        let address = authority
            .parse::<SocketAddr>()
            .or_else(|_| authority.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)))
            .map_err(|_| format!("`{authority}` is not an IP address, with a port or without"))?;
        Ok(Self { name: name.to_owned(), address, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_names_ports_and_schemes() {
        let plain: TargetArgument = "http://10.0.0.1".parse().unwrap();
        assert_eq!((plain.name.as_str(), plain.address.port()), ("http://10.0.0.1", 80));
        let named: TargetArgument = "edge=https://10.0.0.1:8443/".parse().unwrap();
        assert_eq!((named.name.as_str(), named.address.port(), named.tls), ("edge", 8443, true));
        assert!("10.0.0.1".parse::<TargetArgument>().is_err());
        assert!("http://books.example.com".parse::<TargetArgument>().is_err());
    }

    #[test]
    fn clients_may_have_a_rate() {
        let clients: Clients = "50@200".parse().unwrap();
        assert_eq!(clients, Clients { clients: 50, rate: Some(200.0) });
        for text in ["", "x", "5@", "5@0", "5@NaN", "-1"] {
            assert!(text.parse::<Clients>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
