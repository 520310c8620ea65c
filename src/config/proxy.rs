use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::document::{At, Leaf, Place, Problems, Whole, record};

use super::leaves::{Address, FilePath, Label, StatusAddress};
use super::load::Base;

/// The kinds of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// nginx
    Nginx,
    /// `HAProxy`
    Haproxy,
}

impl ProxyKind {
    /// The word in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    /// The proxy's own checker.
    fn checker(self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Nginx => &["nginx", "-t", "-q", "-c", FILE],
            Self::Haproxy => &["haproxy", "-c", "-f", FILE],
        };
        words.iter().map(ToString::to_string).collect()
    }
}

/// Stands for the file in `check`.
const FILE: &str = "{file}";

/// A proxy that is kept true to the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its name, unique.
    pub name: String,
    /// Its kind.
    pub kind: ProxyKind,
    /// Its template; none is the built-in one.
    pub template: Option<PathBuf>,
    /// The configuration file that it reads.
    pub output: PathBuf,
    /// nginx: directory of the flag files.
    pub flags: Option<PathBuf>,
    /// `HAProxy`: file of routes and live colours.
    pub map: Option<PathBuf>,
    /// Command that checks a configuration; `{file}` stands for its path.
    pub check: Vec<String>,
    /// Command that makes it read its configuration again; none: a signal, or the master socket.
    pub reload: Option<Vec<String>>,
    /// Pid file of its master process.
    pub pid_file: Option<PathBuf>,
    /// `HAProxy`: socket of the master process.
    pub master_socket: Option<PathBuf>,
    /// `HAProxy`: socket of the runtime API.
    pub runtime_socket: Option<PathBuf>,
    /// Its private listener.
    pub status: SocketAddr,
    /// Its public plain listener.
    pub http: Option<SocketAddr>,
    /// Its public TLS listener.
    pub https: Option<SocketAddr>,
    /// PEM file of the authority that its certificates are checked against; none: the system's.
    pub ca: Option<PathBuf>,
    /// Directory of its certificates.
    pub certificates: Option<PathBuf>,
    /// User of its workers; none leaves it to the proxy.
    pub user: Option<String>,
}

record! {
    /// One of `[[proxy]]`
    pub(super) struct ProxyRecord {
        name: At<Label>,
        kind: ProxyKind,
        template: Option<FilePath>,
        output: At<FilePath>,
        flags: Option<At<FilePath>>,
        map: Option<At<FilePath>>,
        check: Option<At<Whole<String>>>,
        reload: Option<At<Whole<String>>>,
        pid_file: Option<At<FilePath>>,
        master_socket: Option<At<FilePath>>,
        runtime_socket: Option<At<FilePath>>,
        status: StatusAddress,
        http: Option<Address>,
        https: Option<Address>,
        ca: Option<FilePath>,
        certificates: Option<At<FilePath>>,
        user: Option<Label>,
    }
}

impl Leaf for ProxyKind {
    const WHAT: &'static str = "a kind of proxy";
    const EXAMPLE: &'static str = "nginx";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "nginx" => Ok(Self::Nginx),
            "haproxy" => Ok(Self::Haproxy),
            _ => Err("it is neither `nginx` nor `haproxy`".to_owned()),
        }
    }
}

/// The proxies; their names and outputs are their own.
pub(super) fn validate(
    records: &[At<ProxyRecord>],
    base: &Base,
    problems: &mut Problems,
) -> Vec<Proxy> {
    let mut proxies: Vec<Proxy> = Vec::new();
    for At { value: record, place } in records {
        let proxy = record.validate(place, base, problems);
        if proxies.iter().any(|earlier| earlier.name == proxy.name) {
            let what = format!("two proxies are called `{}`", proxy.name);
            problems.report(&record.name.place, what, "give each a name of its own");
        }
        if proxies.iter().any(|earlier| earlier.output == proxy.output) {
            let what = "two proxies read the same file";
            problems.report(&record.output.place, what, "give each an `output` of its own");
        }
        for earlier in &proxies {
            record.check_apart(&proxy, earlier, place, problems);
        }
        proxies.push(proxy);
    }
    proxies
}

impl ProxyRecord {
    fn validate(&self, place: &Place, base: &Base, problems: &mut Problems) -> Proxy {
        self.check_kind(place, problems);
        self.check_doors(place, problems);
        let path =
            |path: &Option<At<FilePath>>| path.as_ref().map(|path| base.resolve(&path.value.0));
        let written =
            [&self.flags, &self.map, &self.pid_file, &self.runtime_socket, &self.certificates];
        for written in written.into_iter().flatten().chain([&self.output]) {
            check_writable(written, base, problems);
        }
        if let Some(map) = &self.map
            && map.value.0.to_string_lossy().contains([' ', ';'])
        {
            let what = "HAProxy is told this path in commands, in which a blank or `;` ends it";
            problems.report(&map.place, what, "name a path without them");
        }
        Proxy {
            name: self.name.value.0.clone(),
            kind: self.kind,
            template: self.template.as_ref().map(|path| base.resolve(&path.0)),
            output: base.resolve(&self.output.value.0),
            flags: path(&self.flags),
            map: path(&self.map),
            check: self.checker(problems),
            reload: self.reload.as_ref().map(|reload| command(reload, problems)),
            pid_file: path(&self.pid_file),
            master_socket: path(&self.master_socket),
            runtime_socket: path(&self.runtime_socket),
            status: self.status.0,
            http: self.http.as_ref().map(|address| address.0),
            https: self.https.as_ref().map(|address| address.0),
            ca: self.ca.as_ref().map(|path| base.resolve(&path.0)),
            certificates: path(&self.certificates),
            user: self.user.as_ref().map(|user| user.0.clone()),
        }
    }

    fn checker(&self, problems: &mut Problems) -> Vec<String> {
        let Some(check) = &self.check else { return self.kind.checker() };
        if !check.value.0.iter().any(|word| word.contains(FILE)) {
            let what = format!("no word of it is `{FILE}`");
            problems.report(&check.place, what, "put it where the checker wants the file");
        }
        command(check, problems)
    }

    /// Whatever a proxy is told by, or tells by, is its own: else one is taken for the other.
    fn check_apart(&self, own: &Proxy, other: &Proxy, place: &Place, problems: &mut Problems) {
        if own.status == other.status {
            let what = format!("proxy `{}` has the same `status`, {}", other.name, own.status);
            problems.report(place, what, "give each a private listener of its own");
        }
        for (key, written, path, theirs) in [
            ("flags", &self.flags, &own.flags, &other.flags),
            ("map", &self.map, &own.map, &other.map),
            ("pid_file", &self.pid_file, &own.pid_file, &other.pid_file),
            ("master_socket", &self.master_socket, &own.master_socket, &other.master_socket),
            ("runtime_socket", &self.runtime_socket, &own.runtime_socket, &other.runtime_socket),
        ] {
            if let Some(written) = written
                && path == theirs
            {
                let what = format!("proxy `{}` has the same `{key}`", other.name);
                problems.report(&written.place, what, "give each one of its own");
            }
        }
    }

    /// What the kind needs, and what belongs to the other kind.
    fn check_kind(&self, place: &Place, problems: &mut Problems) {
        let nginx = [("flags", &self.flags)];
        let haproxy = [
            ("map", &self.map),
            ("master_socket", &self.master_socket),
            ("runtime_socket", &self.runtime_socket),
        ];
        let (foreign, missing): (&[_], _) = match self.kind {
            ProxyKind::Nginx => (&haproxy, self.missing_for_nginx()),
            ProxyKind::Haproxy => (&nginx, self.missing_for_haproxy()),
        };
        for (key, value) in foreign {
            if let Some(value) = value {
                let what = format!("`{key}` has no meaning for {}", self.kind.as_str());
                problems.report(&value.place, what, "remove it");
            }
        }
        for (what, remedy) in missing {
            problems.report(place, what, remedy);
        }
    }

    fn missing_for_nginx(&self) -> Vec<(&'static str, &'static str)> {
        let flags = self.flags.is_none().then_some((
            "`flags` is missing",
            "name a directory that the workers may look into, for the flag files",
        ));
        let reload = (self.reload.is_none() && self.pid_file.is_none()).then_some((
            "nginx can be told nothing without `pid_file` or `reload`",
            "write for example `pid_file = \"/run/nginx.pid\"`",
        ));
        flags.into_iter().chain(reload).collect()
    }

    fn missing_for_haproxy(&self) -> Vec<(&'static str, &'static str)> {
        let map = self
            .map
            .is_none()
            .then_some(("`map` is missing", "name a file for the routes and live colours"));
        let no_socket = self.master_socket.is_none() && self.runtime_socket.is_none();
        let socket = no_socket.then_some((
            "HAProxy can be told nothing without a socket",
            "give `master_socket` (`haproxy -W -S PATH`), `runtime_socket` or both",
        ));
        let reload = (!no_socket && self.reload.is_none() && self.master_socket.is_none())
            .then_some((
                "HAProxy cannot be reloaded without `master_socket` or `reload`",
                "start it with `-W -S PATH` and name the path in `master_socket`",
            ));
        map.into_iter().chain(socket).chain(reload).collect()
    }

    fn check_doors(&self, place: &Place, problems: &mut Problems) {
        let doors = [&self.http, &self.https];
        if doors.iter().all(|door| door.is_none()) {
            let what = "neither `http` nor `https` is given: nothing would be served";
            problems.report(place, what, "write for example `http = \"0.0.0.0:80\"`");
        }
        if self.https.is_some() && self.certificates.is_none() {
            problems.report(place, "`https` needs `certificates`", "name their directory");
        }
        let mut taken = vec![self.status.0];
        for address in doors.into_iter().flatten().map(|address| address.0) {
            if taken.contains(&address) {
                let what = format!("two listeners share {address}");
                problems.report(place, what, "give `status`, `http` and `https` one each");
            }
            taken.push(address);
        }
    }
}

fn command(words: &At<Whole<String>>, problems: &mut Problems) -> Vec<String> {
    if words.value.0.first().is_none_or(String::is_empty) {
        problems.report(&words.place, "the command is empty", "name a program, or remove the key");
    }
    words.value.0.clone()
}

/// Paths that are written between quotes into the proxy's configuration.
fn check_writable(path: &At<FilePath>, base: &Base, problems: &mut Problems) {
    let resolved = base.resolve(&path.value.0);
    if unfit(&resolved) {
        let what = "the path has a character that cannot be written into a proxy's configuration";
        problems.report(&path.place, what, "do without quotes, `\\`, `$`, `#`, `,`, `(` and `)`");
    }
}

fn unfit(path: &Path) -> bool {
    path.to_str().is_none_or(|text| text.contains(['"', '\'', '\\', '$', '#', ',', '(', ')']))
}
