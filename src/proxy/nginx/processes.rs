//! nginx's processes as `/proc` shows them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::param::clock_ticks_per_second;

use crate::proxy::error::{Error, Result};

/// A worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worker {
    /// Its process id.
    pub pid: i32,
}

impl Worker {
    /// The user and group that it runs as.
    pub fn owner(self) -> Option<(u32, u32)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let effective = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some((effective("Uid:")?, effective("Gid:")?))
    }

    /// For how long it has been running; none when it is gone.
    fn age(self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let up: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        let since =
            Duration::from_secs(started(&stat)?) / u32::try_from(clock_ticks_per_second()).ok()?;
        Some(Duration::try_from_secs_f64(up).ok()?.saturating_sub(since))
    }

    /// It accepts no connection any more: gone, or finishing what it has.
    pub fn is_leaving(self) -> bool {
        title(self.pid).is_none_or(|title| title.contains("shutting down"))
    }
}

/// The master process that `pid_file` names, when it runs.
pub(crate) fn master(pid_file: &Path) -> Result<i32> {
    let text = fs::read_to_string(pid_file).map_err(|error| Error::NotRunning {
        why: format!("cannot read pid file `{}`: {error}", pid_file.display()),
    })?;
    let text = text.trim();
    let named: Option<i32> = text.parse().ok().filter(|pid| *pid > 1);
    let Some(pid) = named else {
        return Err(Error::NotRunning {
            why: format!("pid file `{}` holds no process id", pid_file.display()),
        });
    };
    // A stale file may name a process that has nothing to do with nginx: it must not get signals.
    let program = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    if program.trim() == "nginx" {
        Ok(pid)
    } else {
        Err(Error::NotRunning {
            why: format!("process {pid} of `{}` is not nginx", pid_file.display()),
        })
    }
}

/// The worker processes of `master`, leaving ones included.
pub(crate) fn workers(master: i32) -> Vec<Worker> {
    let children = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
    let children = children.unwrap_or_default();
    children
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid| title(*pid).is_some_and(|title| title.contains("worker process")))
        .map(|pid| Worker { pid })
        .collect()
}

/// Whether one of `workers` that a reload replaced may yet be asked by a client that it accepted: for
/// `late` after the reload, which is when the others began.
pub(crate) fn may_hear(workers: &[Worker], late: Duration) -> bool {
    let (leaving, serving): (Vec<&Worker>, Vec<&Worker>) =
        workers.iter().partition(|worker| worker.is_leaving());
    let reloaded = serving.iter().filter_map(|worker| worker.age()).max();
    !leaving.is_empty() && reloaded.is_none_or(|ago| ago < late)
}

/// When a process began, in clock ticks after the start of the machine: field 22 of proc(5)'s `stat`,
/// counted behind the name, which may hold anything.
fn started(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// What a process calls itself; none when it is gone.
fn title(pid: i32) -> Option<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
}
