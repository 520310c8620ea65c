//! When nginx was reloaded, by its worker processes: nothing of the daemon is asked, which may be
//! killed meanwhile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Much shorter than the time between two reloads.
const LOOK: Duration = Duration::from_millis(40);

/// Looks out for reloads until it is ended.
pub struct Reloads {
    stop: CancellationToken,
    watching: JoinHandle<Vec<SystemTime>>,
}

impl Reloads {
    /// Of the nginx whose pid is in `pid_file`.
    pub fn watch(pid_file: &Path) -> Self {
        let stop = CancellationToken::new();
        let watching = tokio::spawn(seen(pid_file.to_owned(), stop.clone()));
        Self { stop, watching }
    }

    /// When each was seen.
    pub async fn end(self) -> Vec<SystemTime> {
        self.stop.cancel();
        self.watching.await.unwrap()
    }
}

async fn seen(pid_file: PathBuf, stop: CancellationToken) -> Vec<SystemTime> {
    let mut known = workers(&pid_file);
    // Each reload starts as many workers; a look may see some of them before the others.
    let at_once = known.len().max(1);
    let (mut new, mut reloads) = (0, Vec::new());
    loop {
        let now = workers(&pid_file);
        new += now.difference(&known).count();
        known.extend(now);
        if new > reloads.len() * at_once {
            reloads.push(SystemTime::now());
        }
        tokio::select! {
            () = stop.cancelled() => return reloads,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The workers that are not about to end; none where nginx does not run.
fn workers(pid_file: &Path) -> BTreeSet<u32> {
    let master = std::fs::read_to_string(pid_file).unwrap_or_default();
    let master = master.trim();
    let children = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
    let children = children.unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| serves(*pid))
        .collect()
}

fn serves(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|said| said.contains("worker process") && !said.contains("shutting down"))
}
