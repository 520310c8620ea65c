use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rustls::ClientConfig;
use url::{Host, Url};

use crate::tls::{self, Identity, TlsError};

/// Where an engine listens: `unix://`, `tcp://` or `ssh://`, as in `DOCKER_HOST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP address, with TLS or without.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port; none is 2375, or 2376 with TLS.
        port: Option<u16>,
    },
    /// An engine behind an SSH login on its machine.
    Ssh {
        /// Login name; none is what `ssh` makes of it.
        user: Option<String>,
        /// Host name, address or alias of the SSH configuration.
        host: String,
        /// Port; none is what `ssh` makes of it.
        port: Option<u16>,
        /// Path of the engine's socket over there; none is the default of its `docker`.
        socket: Option<PathBuf>,
    },
}

/// Files for TLS to an engine, as `docker` keeps them in `DOCKER_CERT_PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file of the authority that signed the engine's certificate; none trusts the system's.
    pub ca: Option<PathBuf>,
    /// PEM files of the client's certificate and its key, where the engine asks for one.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl TlsFiles {
    /// A client that trusts and shows what they hold.
    pub(super) fn client(&self) -> Result<ClientConfig, TlsError> {
        let shown = self.client.as_ref().map(|(certificate, key)| Identity { certificate, key });
        tls::client(self.ca.as_deref(), shown)
    }
}

/// The text does not say where an engine is.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{text}` is not an engine's address: {why}; write `unix:///path/docker.sock`, `tcp://host:2376` or `ssh://user@host`"
)]
pub struct ParseEndpointError {
    text: String,
    why: &'static str,
}

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|why| ParseEndpointError {
            // A password in an address is a mistake, and must not be repeated in a message.
            text: if text.contains('@') && !text.starts_with("unix:") {
                text.split('@').next_back().unwrap_or_default().to_owned()
            } else {
                text.to_owned()
            },
            why,
        })
    }
}

fn parse(text: &str) -> Result<Endpoint, &'static str> {
    if let Some(path) = text.strip_prefix("unix://") {
        return if path.starts_with('/') {
            Ok(Endpoint::Unix(PathBuf::from(path)))
        } else {
            Err("the path of its socket is not absolute")
        };
    }
    let url = Url::parse(text).map_err(|_| "it is not an URL")?;
    if url.password().is_some() {
        return Err("a password does not belong into it");
    }
    let host = match url.host() {
        Some(Host::Domain("")) | None => return Err("it names no host"),
        // Brackets belong to the notation of the URL, not to the address.
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
    };
    if host.starts_with('-') {
        return Err("its host begins with a hyphen");
    }
    match url.scheme() {
        "tcp" if !url.username().is_empty() => Err("`tcp://` has no user"),
        "tcp" if !matches!(url.path(), "" | "/") => Err("`tcp://` has no path"),
        "tcp" => Ok(Endpoint::Tcp { host, port: url.port() }),
        "ssh" => Ok(Endpoint::Ssh {
            user: (!url.username().is_empty()).then(|| url.username().to_owned()),
            host,
            port: url.port(),
            socket: (!matches!(url.path(), "" | "/")).then(|| PathBuf::from(url.path())),
        }),
        _ => Err("its scheme is none of `unix`, `tcp` and `ssh`"),
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = |f: &mut fmt::Formatter<'_>, port: &Option<u16>| match port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        };
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port: number } => {
                write!(f, "tcp://{}", Bracketed(host))?;
                port(f, number)
            }
            Self::Ssh { user, host, port: number, socket } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                write!(f, "{}", Bracketed(host))?;
                port(f, number)?;
                socket.as_ref().map_or(Ok(()), |path| write!(f, "{}", path.display()))
            }
        }
    }
}

/// A host as it is written before a port: IPv6 addresses in brackets.
struct Bracketed<'a>(&'a str);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_docker_host_may_say_is_understood_and_said_again() {
        for text in [
            "unix:///var/run/docker.sock",
            "tcp://10.0.0.1",
            "tcp://manager.example.com:2376",
            "tcp://[fd00::1]:2376",
            "ssh://deploy@manager:2222",
            "ssh://manager",
            "ssh://root@manager/run/other/docker.sock",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_remedy() {
        for text in [
            "",
            "docker.sock",
            "unix://run/docker.sock",
            "http://host:2375",
            "tcp://",
            "tcp://user@host",
            "tcp://host/v1.41",
            "ssh://-oProxyCommand=x",
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("unix:///path"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let error = "ssh://me:hunter2@host".parse::<Endpoint>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
