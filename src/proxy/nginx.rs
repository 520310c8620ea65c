//! nginx: moved by flag files, reloaded only for what its files say anew.

mod answers;
mod flags;
mod processes;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

pub(crate) use answers::Counter;

use super::apart::apart;
use super::command;
use super::error::{Error, Result};
use super::logs::Logs;
use super::probe;
use super::routing::{Entries, Entry};
use super::settings::Settings;
use super::tcp;
use crate::model::Colour;
use flags::Flags;
use processes::Worker;

/// A reload takes 0.1 s, with a thousand certificates 1.6 s on a quiet machine. One that fails mostly
/// shows in the log long before this.
const RELOAD_LIMIT: Duration = Duration::from_secs(20);

/// How often the log is looked at meanwhile.
const LOG_EVERY: Duration = Duration::from_millis(50);

/// A reload takes about 100 ms: this finds its end soon without keeping a core busy.
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// A connection that a worker accepted before a reload is answered by it, if it speaks in time: within
/// twice the template's `client_header_timeout`, of which one is for the handshake of TLS.
const LATE: Duration = Duration::from_secs(10);

/// Without a pid file the workers cannot be seen: as many answers in a row must tell the generation,
/// over the time for which old workers were seen to answer (115 ms).
const BLIND_ANSWERS: usize = 40;
const BLIND_INTERVAL: Duration = Duration::from_millis(5);

/// One running nginx.
#[derive(Debug, Clone)]
pub(crate) struct Nginx {
    settings: Arc<Settings>,
    flags: Flags,
}

impl Nginx {
    /// The nginx of `settings`, with the flags that are there.
    pub async fn start(settings: Arc<Settings>) -> Result<Self> {
        let Some(directory) = settings.flags.clone() else {
            return Err(Error::NotConfigured { setting: "flags" });
        };
        Ok(Self { settings, flags: Flags::open(directory).await? })
    }

    /// The flag files.
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// Make the flags say what `entries` say.
    pub async fn agree(&self, entries: &Entries) -> Result<()> {
        self.flags.agree(entries).await
    }

    /// Make the flags that a configuration of `entries` tests for. Those of others than it and `loaded`,
    /// which runs now, if that is known, are not needed once nobody is left who read them.
    pub async fn raise(&self, entries: &Entries, loaded: Option<&Entries>) -> Result<()> {
        self.flags.raise(entries).await?;
        match loaded {
            Some(loaded) if !self.is_leaving() => {
                self.flags.forget_all_but(&[loaded, entries]).await
            }
            _ => Ok(()),
        }
    }

    /// Move the public requests of the service of `entry` to `to`.
    pub async fn flip(&self, entry: &Entry, to: Colour) -> Result<()> {
        self.flags.flip(entry, to).await
    }

    /// Order a reload and wait until every new connection is answered by workers that read
    /// `generation`.
    pub async fn reload(&self, generation: &str) -> Result<()> {
        let before = self.workers()?;
        let logs = self.master().ok().map(Logs::mark).unwrap_or_default();
        self.order().await?;
        let taken = tokio::select! {
            taken = self.taken(before.as_deref(), generation) => taken,
            () = given_up(&logs) => Err(not_taken(generation, self.generation().await?, 0)),
        };
        match taken {
            Err(Error::NotTaken { why, .. }) => Err(Error::NotTaken { why, words: logs.grave() }),
            taken => taken,
        }
    }

    async fn taken(&self, before: Option<&[Worker]>, generation: &str) -> Result<()> {
        let deadline = Instant::now() + RELOAD_LIMIT;
        match before {
            Some(before) => self.replaced(before, generation, deadline).await,
            None => self.told(generation, deadline).await,
        }
    }

    /// Its master process.
    pub fn master(&self) -> Result<i32> {
        match &self.settings.pid_file {
            Some(pid_file) => processes::master(pid_file),
            None => Err(Error::NotConfigured { setting: "pid_file" }),
        }
    }

    /// Its processes, where they can be seen.
    pub fn pids(&self) -> Vec<i32> {
        let Ok(master) = self.master() else {
            return Vec::new();
        };
        let workers = processes::workers(master).into_iter().map(|worker| worker.pid);
        workers.chain([master]).collect()
    }

    /// Whether a worker is seen to accept connections.
    pub fn is_serving(&self) -> bool {
        matches!(self.workers(), Ok(Some(workers)) if !workers.is_empty())
    }

    /// Whether its master process can be seen.
    pub fn is_seen(&self) -> Result<()> {
        match &self.settings.pid_file {
            Some(_) => self.master().map(drop),
            None => Ok(()),
        }
    }

    /// The workers that accept connections; none when they cannot be seen.
    fn workers(&self) -> Result<Option<Vec<Worker>>> {
        let Some(pid_file) = &self.settings.pid_file else {
            return Ok(None);
        };
        let mut workers = processes::workers(processes::master(pid_file)?);
        if workers.is_empty() {
            return Ok(None);
        }
        workers.retain(|worker| !worker.is_leaving());
        Ok(Some(workers))
    }

    async fn order(&self) -> Result<()> {
        if let Some(argv) = &self.settings.reload {
            let said = command::run(argv).await?;
            if said.success {
                return Ok(());
            }
            return Err(Error::NotTaken {
                why: format!("`{}` failed", argv.join(" ")),
                words: said.lines,
            });
        }
        let Some(pid_file) = &self.settings.pid_file else {
            return Err(Error::NotConfigured { setting: "reload" });
        };
        let master = processes::master(pid_file)?;
        let signalled = Pid::from_raw(master).map(|pid| kill_process(pid, Signal::HUP));
        match signalled {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Error::NotTaken {
                why: format!("SIGHUP to process {master} failed: {error}"),
                words: Vec::new(),
            }),
            None => Err(Error::NotRunning {
                why: format!("`{}` holds no process id", pid_file.display()),
            }),
        }
    }

    /// Old workers answer new connections for a while after the first new one does: it is over when
    /// each is gone or says that it is shutting down.
    async fn replaced(&self, before: &[Worker], wanted: &str, deadline: Instant) -> Result<()> {
        loop {
            let left = before.iter().filter(|worker| !worker.is_leaving()).count();
            let told = if left == 0 { self.generation().await? } else { None };
            if told.as_deref() == Some(wanted) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(not_taken(wanted, self.generation().await?, left));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn told(&self, wanted: &str, deadline: Instant) -> Result<()> {
        let mut in_a_row = 0;
        while in_a_row < BLIND_ANSWERS {
            let told = self.generation().await?;
            in_a_row = if told.as_deref() == Some(wanted) { in_a_row + 1 } else { 0 };
            if Instant::now() > deadline {
                return Err(not_taken(wanted, told, 0));
            }
            sleep(BLIND_INTERVAL).await;
        }
        Ok(())
    }

    async fn generation(&self) -> Result<Option<String>> {
        probe::generation(self.settings.status).await
    }

    /// Whether no worker, old or new, has a connection to an instance of `colour`, or may yet lead a
    /// request there. Without a pid file, or where no worker can be seen, nobody knows: not before the
    /// caller's patience ends.
    pub async fn is_drained(&self, entry: &Entry, colour: Colour) -> Result<bool> {
        let Some(pid_file) = self.settings.pid_file.clone() else {
            return Ok(false);
        };
        let addresses = entry.addresses(colour);
        let led = self.flags.lead_to(&entry.view.service, colour);
        let look = move || {
            let master = processes::master(&pid_file)?;
            let workers = processes::workers(master);
            let may_come = led && processes::may_hear(&workers, LATE);
            let pids: Vec<i32> = workers.iter().map(|worker| worker.pid).collect();
            Ok(!pids.is_empty() && !may_come && !tcp::connected(&pids, &addresses))
        };
        apart(look).await?
    }

    /// Whether a worker of before a reload is seen to be there yet.
    fn is_leaving(&self) -> bool {
        let workers = self.master().map(processes::workers).unwrap_or_default();
        workers.iter().any(|worker| worker.is_leaving())
    }
}

/// Wait until nginx writes that it gave a reload up; for ever where its log cannot be seen. It tries a
/// taken port five times, half a second apart.
async fn given_up(logs: &Logs) {
    while !logs.shows_failure() {
        sleep(LOG_EVERY).await;
    }
}

fn not_taken(wanted: &str, told: Option<String>, left: usize) -> Error {
    let told = told.unwrap_or_else(|| "none".to_owned());
    let why = if told == wanted {
        format!("{left} of its old worker processes still accept connections")
    } else {
        format!("it tells generation {told} instead of {wanted}")
    };
    Error::NotTaken { why, words: Vec::new() }
}

/// User and group of the workers of the nginx that `pid_file` names.
pub(crate) fn worker_of(pid_file: &Path) -> Option<(u32, u32)> {
    let master = processes::master(pid_file).ok()?;
    processes::workers(master).first()?.owner()
}
