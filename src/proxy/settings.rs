use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The kinds of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// nginx, moved by flag files.
    Nginx,
    /// `HAProxy`, moved by a map.
    Haproxy,
}

impl Kind {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One proxy, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its name; unique.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// The template; none uses the one built in.
    pub template: Option<PathBuf>,
    /// The configuration file that the proxy reads.
    pub output: PathBuf,
    /// nginx: directory of the flag files; the worker processes must be able to look into it.
    pub flags: Option<PathBuf>,
    /// `HAProxy`: the map file of routes and live colours.
    pub map: Option<PathBuf>,
    /// Command that checks a configuration; `{file}` stands for its path.
    pub check: Vec<String>,
    /// Command that makes the proxy read its configuration again; none sends SIGHUP to the pid file's
    /// process (nginx) or `reload` to the master socket (`HAProxy`).
    pub reload: Option<Vec<String>>,
    /// The master process's pid file.
    pub pid_file: Option<PathBuf>,
    /// `HAProxy`: socket of the master process (`-W -S`).
    pub master_socket: Option<PathBuf>,
    /// `HAProxy`: the runtime API.
    pub runtime_socket: Option<PathBuf>,
    /// The private listener that tells the generation.
    pub status: SocketAddr,
    /// The public plain listener.
    pub http: Option<SocketAddr>,
    /// The public TLS listener.
    pub https: Option<SocketAddr>,
    /// The authority that the certificates are checked against; none: the system's.
    pub ca: Option<PathBuf>,
    /// Directory of certificates: `*.pem` with chain and key, or `*.crt` beside `*.key`.
    pub certificates: Option<PathBuf>,
    /// User that the proxy's workers run as; none leaves it to the proxy.
    pub user: Option<String>,
    /// Directory where the keeper remembers what it has applied.
    pub state: PathBuf,
}

impl Settings {
    /// Everything that is wrong with it, one line each; empty when nothing is.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.check.is_empty() {
            found.push("`check` is empty: give the command that checks a file".to_owned());
        } else if !self.check.iter().any(|word| word.contains("{file}")) {
            found.push("`check` does not name `{file}`".to_owned());
        }
        if self.http.is_none() && self.https.is_none() {
            found.push("neither `http` nor `https` is given: nothing would be served".to_owned());
        }
        if self.https.is_some() && self.certificates.is_none() {
            found.push("`https` needs `certificates`".to_owned());
        }
        match self.kind {
            Kind::Nginx => self.nginx_problems(&mut found),
            Kind::Haproxy => self.haproxy_problems(&mut found),
        }
        for path in self.paths() {
            if let Some(why) = unfit(path) {
                found.push(format!("path `{}` {why}", path.display()));
            }
        }
        found
    }

    fn nginx_problems(&self, found: &mut Vec<String>) {
        if self.flags.is_none() {
            found.push("nginx needs `flags`, the directory of its flag files".to_owned());
        }
        if self.reload.is_none() && self.pid_file.is_none() {
            found.push("nginx needs `pid_file` or `reload`".to_owned());
        }
    }

    fn haproxy_problems(&self, found: &mut Vec<String>) {
        if self.map.is_none() {
            found.push("haproxy needs `map`, the file of routes and live colours".to_owned());
        }
        if self.master_socket.is_none() && self.runtime_socket.is_none() {
            found.push("haproxy needs `master_socket`, `runtime_socket` or both".to_owned());
        }
        if self.reload.is_none() && self.master_socket.is_none() {
            found.push("haproxy needs `master_socket` or `reload`".to_owned());
        }
    }

    /// A proxy that is only rendered.
    pub(super) fn example(kind: Kind) -> Self {
        let nginx = kind == Kind::Nginx;
        Self {
            name: format!("edge-{kind}"),
            kind,
            template: None,
            output: "/etc/edge/proxy.conf".into(),
            flags: nginx.then(|| "/var/lib/edge/flags".into()),
            map: (!nginx).then(|| "/var/lib/edge/routes.map".into()),
            check: vec!["check".to_owned(), "{file}".to_owned()],
            reload: None,
            pid_file: Some("/run/edge.pid".into()),
            master_socket: (!nginx).then(|| "/run/edge-master.sock".into()),
            runtime_socket: (!nginx).then(|| "/run/edge-runtime.sock".into()),
            status: ([127, 0, 0, 1], 9180).into(),
            http: Some(([192, 0, 2, 1], 80).into()),
            https: None,
            ca: None,
            certificates: None,
            user: Some("nobody".to_owned()),
            state: "/var/lib/edge".into(),
        }
    }

    /// Paths that are written into the configuration.
    fn paths(&self) -> impl Iterator<Item = &Path> {
        [
            Some(&self.output),
            self.flags.as_ref(),
            self.map.as_ref(),
            self.pid_file.as_ref(),
            self.runtime_socket.as_ref(),
            self.certificates.as_ref(),
        ]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
    }

    /// Where the plain listener can be reached from this host.
    #[must_use]
    pub fn http_door(&self) -> Option<SocketAddr> {
        self.http.map(reachable)
    }

    /// Where the TLS listener can be reached from this host.
    #[must_use]
    pub fn https_door(&self) -> Option<SocketAddr> {
        self.https.map(reachable)
    }
}

/// Why a path cannot be written between quotes into a proxy's configuration.
fn unfit(path: &Path) -> Option<&'static str> {
    let Some(text) = path.to_str() else {
        return Some("is not UTF-8");
    };
    if !path.is_absolute() {
        return Some("is not absolute");
    }
    let bad =
        |c: char| c.is_control() || matches!(c, '"' | '\'' | '\\' | '$' | '#' | ',' | '(' | ')');
    text.contains(bad)
        .then_some("has a character that cannot be written into a proxy's configuration")
}

/// A listener on every address is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Settings of a proxy that is only rendered.
    pub(crate) fn settings(kind: Kind) -> Settings {
        Settings::example(kind)
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(settings(Kind::Nginx).problems().is_empty());
        assert!(settings(Kind::Haproxy).problems().is_empty());
        let empty = Settings {
            flags: None,
            pid_file: None,
            check: vec!["nginx".to_owned()],
            http: None,
            output: "relative.conf".into(),
            ..settings(Kind::Nginx)
        };
        let found = empty.problems();
        for word in ["`flags`", "`pid_file`", "`{file}`", "`http`", "not absolute"] {
            assert!(found.iter().any(|problem| problem.contains(word)), "{word} in {found:?}");
        }
    }

    #[test]
    fn a_path_cannot_end_a_string() {
        let odd = Settings { flags: Some("/a\"; evil".into()), ..settings(Kind::Nginx) };
        assert!(odd.problems()[0].contains("cannot be written"));
    }

    #[test]
    fn a_wildcard_is_reached_on_loopback() {
        let wild = Settings { http: Some(([0, 0, 0, 0], 80).into()), ..settings(Kind::Nginx) };
        assert_eq!(wild.http_door(), Some(([127, 0, 0, 1], 80).into()));
    }
}
