use std::net::SocketAddr;
use std::path::PathBuf;

use crate::document::{At, Leaf, Problems, record};

use super::leaves::FilePath;
use super::load::Base;

/// `state` when nothing is said.
pub const STATE: &str = "/var/lib/verdigris";
/// `listen` when nothing is said.
pub const LISTEN: &str = "unix:/run/verdigris/verdigris.sock";

/// The daemon itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Directory of the journal and the embedded registry.
    pub state: PathBuf,
    /// Where the API listens; at least one, none twice.
    pub listen: Vec<Listen>,
}

/// A place to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `unix:PATH`
    Unix(PathBuf),
    /// `tcp:ADDRESS:PORT`; port 0 picks a free one.
    Tcp(SocketAddr),
}

record! {
    /// `[daemon]`
    pub(super) struct DaemonRecord {
        state: Option<FilePath>,
        listen: Option<Vec<At<Listen>>>,
    }
}

/// The kernel takes 107 bytes, and the socket is bound as `PATH.PID` before it is put there.
const LONGEST_SOCKET: usize = 99;

impl Leaf for Listen {
    const WHAT: &'static str = "a place to listen";
    const EXAMPLE: &'static str = "unix:/run/verdigris/verdigris.sock";

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///path`, as Docker writes it, is the same path.
            return FilePath::parse(path.strip_prefix("//").unwrap_or(path))
                .map(|path| Self::Unix(path.0));
        }
        let Some(address) = text.strip_prefix("tcp:") else {
            return Err("it begins neither with `unix:` nor with `tcp:`".to_owned());
        };
        let address = address.strip_prefix("//").unwrap_or(address);
        let address = address.parse().map_err(|_| "write `tcp:ADDRESS:PORT`".to_owned());
        address.map(Self::Tcp)
    }
}

impl DaemonRecord {
    pub fn validate(record: Option<&Self>, base: &Base, problems: &mut Problems) -> Daemon {
        let state = record.and_then(|record| record.state.as_ref());
        let listen = record.and_then(|record| record.listen.as_ref());
        let mut places: Vec<Listen> = Vec::new();
        for At { value, place } in listen.into_iter().flatten() {
            let listen = match value {
                Listen::Unix(path) => Listen::Unix(base.resolve(path)),
                tcp @ Listen::Tcp(_) => tcp.clone(),
            };
            if places.contains(&listen) {
                problems.report(place, "the same place is given twice", "remove one of the two");
            }
            if let Listen::Unix(path) = &listen
                && path.as_os_str().len() > LONGEST_SOCKET
            {
                let what = format!("the socket's path is longer than {LONGEST_SOCKET} bytes");
                problems.report(place, what, "choose a shorter one");
            }
            places.push(listen);
        }
        if places.is_empty() {
            places.extend(Listen::parse(LISTEN));
        }
        let state = state.map_or_else(|| PathBuf::from(STATE), |path| base.resolve(&path.0));
        Daemon { state, listen: places }
    }

    /// The first TCP listener.
    pub fn tcp(&self) -> Option<&At<Listen>> {
        self.listen.iter().flatten().find(|listen| matches!(listen.value, Listen::Tcp(_)))
    }
}
