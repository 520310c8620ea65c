//! Counts nginx's answers per backend: it sends one datagram each to a socket of ours.
//!
//! A socket rather than a log file: nothing grows when nobody reads, nothing is to be rotated. The
//! kernel drops datagrams when we fall behind, whatever their status, so under overload the figures
//! are a sample; their ratio holds.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UnixDatagram;
use tokio_util::task::AbortOnDropHandle;

use crate::deploy::ports::Answers;
use crate::proxy::error::{Error, Result};

/// Longest path that a socket address holds.
const LONGEST_PATH: usize = 107;

/// Longest datagram: a syslog header, a backend's name and a status.
const MOST_BYTES: usize = 512;

/// Most backends that are counted: far more than services.
const MOST_BACKENDS: usize = 1 << 16;

type Counts = Arc<Mutex<HashMap<String, Answers>>>;

/// Counts answers by backend name.
#[derive(Debug)]
pub(crate) struct Counter {
    path: PathBuf,
    counts: Counts,
    _task: AbortOnDropHandle<()>,
}

impl Counter {
    /// Bind the socket in `directory` and count what comes.
    pub fn start(directory: &Path) -> Result<Self> {
        let path = directory.join("answers.sock");
        let failed = |source| Error::Socket { path: path.clone(), source };
        if path.as_os_str().len() > LONGEST_PATH {
            return Err(failed(std::io::Error::new(
                ErrorKind::InvalidInput,
                "its path is longer than a socket's may be (107 bytes)",
            )));
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let socket = UnixDatagram::bind(&path).map_err(failed)?;
        // The workers run as somebody else.
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(&path, open).map_err(failed)?;
        let counts = Counts::default();
        let task = tokio::spawn(count(socket, counts.clone()));
        Ok(Self { path, counts, _task: AbortOnDropHandle::new(task) })
    }

    /// Where nginx sends to.
    pub fn path(&self) -> Option<&str> {
        self.path.to_str()
    }

    /// The answers of `backend` so far.
    pub fn of(&self, backend: &str) -> Answers {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(backend).copied().unwrap_or_default()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        // What is left is removed at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn count(socket: UnixDatagram, counts: Counts) {
    let mut buffer = [0; MOST_BYTES];
    while let Ok(length) = socket.recv(&mut buffer).await {
        let Some((backend, status)) = parse(&buffer[..length]) else {
            continue;
        };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        // Anybody on this host may send datagrams; they must not make us grow.
        if counts.len() >= MOST_BACKENDS && !counts.contains_key(backend) {
            continue;
        }
        let answers = counts.entry(backend.to_owned()).or_default();
        answers.total += 1;
        answers.errors += u64::from((500..600).contains(&status));
    }
}

/// `<190>Nov 21 01:55:23 verdigris: books-ms-blue 200`
fn parse(datagram: &[u8]) -> Option<(&str, u16)> {
    let text = std::str::from_utf8(datagram).ok()?;
    let (_, message) = text.split_once("verdigris: ")?;
    let (backend, status) = message.trim().split_once(' ')?;
    Some((backend, status.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_read() {
        let datagram = b"<190>Nov 21 01:55:23 verdigris: books-ms-blue 502";
        assert_eq!(parse(datagram), Some(("books-ms-blue", 502)));
        assert_eq!(parse(b"<190>Nov 21 01:55:23 other: x 1"), None);
    }
}
