//! `HAProxy`: moved by its map, given instances at run time, reloaded only for new backends.

mod listeners;
mod maps;
mod replaced;
mod servers;
mod sockets;
mod stats;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

pub(crate) use servers::Wanted;
pub(crate) use stats::Tally;

use super::command;
use super::error::{Error, Result};
use super::logs::Logs;
use super::map::LIVE;
use super::probe;
use super::settings::Settings;
use crate::model::ServiceName;
use sockets::{Process, Sockets};

/// The longest that a reload may take: with a thousand certificates 1.1 s on a quiet machine. The
/// master process counts one that fails, so it is known long before this.
const RELOAD_LIMIT: Duration = Duration::from_secs(20);

/// A lost reload is ordered again after this long: ten times what a usual one takes.
const ORDER_AGAIN: Duration = Duration::from_secs(1);

/// A reload takes 50 to 100 ms.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One running `HAProxy`.
#[derive(Debug, Clone)]
pub(crate) struct Haproxy {
    settings: Arc<Settings>,
    sockets: Sockets,
    map: String,
}

impl Haproxy {
    /// The `HAProxy` of `settings`.
    pub fn new(settings: Arc<Settings>) -> Result<Self> {
        let Some(map) = settings.map.as_ref().and_then(|map| map.to_str()) else {
            return Err(Error::NotConfigured { setting: "map" });
        };
        Ok(Self { map: map.to_owned(), sockets: Sockets::new(&settings)?, settings })
    }

    /// Order a reload and wait until every new connection is answered by a process that read
    /// `generation`, which stands in `text`.
    pub async fn reload(&self, generation: &str, text: &str) -> Result<()> {
        let before = self.sockets.processes().await?;
        if let Some(pid) = before.first().and_then(|process| process.pid) {
            listeners::free(text, pid).await?;
        }
        let master = self.sockets.master().await?;
        let logs = master.map(|master| Logs::mark(master.pid)).unwrap_or_default();
        let deadline = Instant::now() + RELOAD_LIMIT;
        self.order().await?;
        let mut ordered = Instant::now();
        while !self.is_replaced(&before, generation).await {
            if Instant::now() >= deadline {
                return Err(self.not_taken(generation, &logs).await);
            }
            // The master's socket is away while it starts itself anew; then it has heard the order.
            let now = self.sockets.master().await.unwrap_or_default();
            if let (Some(before), Some(now)) = (master, now) {
                if now.failed > before.failed {
                    return Err(self.not_taken(generation, &logs).await);
                }
                if now.reloads == before.reloads && ordered.elapsed() > ORDER_AGAIN {
                    tracing::info!(proxy = self.settings.name, "reload was lost: ordered again");
                    self.order().await?;
                    ordered = Instant::now();
                }
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    async fn not_taken(&self, generation: &str, logs: &Logs) -> Error {
        let why = match probe::generation(self.settings.status).await {
            Ok(Some(told)) if told == generation => {
                "its old process still accepts connections".to_owned()
            }
            Ok(Some(told)) => format!("it tells generation {told} instead of {generation}"),
            _ => "it tells no generation".to_owned(),
        };
        Error::NotTaken { why, words: logs.grave() }
    }

    async fn order(&self) -> Result<()> {
        let Some(argv) = &self.settings.reload else {
            return self.sockets.reload().await;
        };
        let said = command::run(argv).await?;
        if said.success {
            return Ok(());
        }
        let why = format!("`{}` failed", argv.join(" "));
        Err(Error::NotTaken { why, words: said.lines })
    }

    async fn is_replaced(&self, before: &[Process], wanted: &str) -> bool {
        let told = probe::generation(self.settings.status).await;
        if !matches!(told, Ok(Some(told)) if told == wanted) {
            return false;
        }
        let Ok(now) = self.sockets.processes().await else {
            return false;
        };
        let fresh = now.iter().any(|process| !process.old && !before.contains(process));
        if !fresh && self.sockets.sees_processes() {
            return false;
        }
        for process in before.iter().filter(|process| process.pid.is_some()) {
            if now.iter().any(|p| p.pid == process.pid) && !self.sockets.is_leaving(process).await {
                return false;
            }
        }
        true
    }

    /// Give the process that serves new connections the servers that `wanted` names, where it has not
    /// got them; the servers that it lacks slots for are an error.
    pub async fn serve(&self, wanted: &Wanted) -> Result<()> {
        for process in self.sockets.processes().await?.iter().filter(|process| !process.old) {
            servers::agree(&self.sockets, process, wanted).await?;
        }
        Ok(())
    }

    /// Make the map of every process equal to `lines`, and read it back. Replaced processes follow where
    /// they have the instances that are `wanted`.
    pub async fn route(&self, lines: &BTreeMap<String, String>, wanted: &Wanted) -> Result<()> {
        for process in self.sockets.processes().await? {
            let routed = match process.old {
                true => self.route_replaced(&process, lines, wanted).await,
                false => maps::agree(&self.sockets, &process, &self.map, lines).await,
            };
            if let Err(error) = routed
                && self.is_there(&process).await
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Lead the public requests of `service` to `backend` in every process, and read it back. Replaced
    /// processes follow where they have its `instances`.
    pub async fn flip(
        &self,
        service: &ServiceName,
        backend: &str,
        instances: &BTreeSet<SocketAddr>,
    ) -> Result<()> {
        let key = format!("{LIVE}{service}");
        let flip = async |process: &Process| {
            if process.old && !self.follows(process, backend, instances).await? {
                return Ok(());
            }
            maps::set(&self.sockets, process, &self.map, &key, backend).await
        };
        for process in self.sockets.processes().await? {
            if let Err(error) = flip(&process).await
                && self.is_there(&process).await
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether `process` still runs: an old one may end at any time.
    async fn is_there(&self, process: &Process) -> bool {
        let now = self.sockets.processes().await;
        !process.old || now.is_ok_and(|now| now.contains(process))
    }

    /// Whether no process has a request of `service` under way on `backend`, or may yet lead one there
    /// to one of its `instances`.
    pub async fn is_drained(
        &self,
        service: &ServiceName,
        backend: &str,
        instances: &BTreeSet<SocketAddr>,
    ) -> Result<bool> {
        let is_busy = async |process: &Process| {
            let busy = stats::in_flight(&self.sockets, process, backend).await? > 0;
            let may_be = process.old && self.may_lead(process, service, backend, instances).await?;
            Ok(busy || may_be)
        };
        for process in self.sockets.processes().await? {
            match is_busy(&process).await {
                Ok(true) => return Ok(false),
                Err(error) if self.is_there(&process).await => return Err(error),
                Ok(false) | Err(_) => {}
            }
        }
        Ok(true)
    }

    /// Add what every process says of the answers of `backend` to `tally`.
    pub async fn count(&self, backend: &str, tally: &mut Tally) -> Result<()> {
        for process in self.sockets.processes().await? {
            match stats::answers(&self.sockets, &process, backend).await {
                Ok(answers) => tally.note(process.pid, backend, answers),
                Err(error) if self.is_there(&process).await => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Its master process, where that can be seen.
    pub async fn master(&self) -> Option<i32> {
        self.sockets.master().await.ok().flatten().map(|master| master.pid)
    }

    /// Its processes, where they can be seen: master, current and replaced ones.
    pub async fn pids(&self) -> Vec<i32> {
        let processes = self.sockets.processes().await.unwrap_or_default();
        let workers = processes.into_iter().filter_map(|process| process.pid);
        workers.chain(self.master().await).collect()
    }

    /// Whether a process says that it accepts connections.
    pub async fn is_serving(&self) -> bool {
        let processes = self.sockets.processes().await.unwrap_or_default();
        match processes.iter().find(|process| !process.old) {
            Some(process) => self.sockets.is_accepting(process).await,
            None => false,
        }
    }

    /// Whether its sockets answer.
    pub async fn is_seen(&self) -> Result<()> {
        self.sockets.processes().await.map(drop)
    }
}
