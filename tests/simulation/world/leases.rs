//! Leases of services, and the sessions that they hang on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use verdigris::deploy::ports::{Leases, PortError, PortResult, Tenure, Trouble};
use verdigris::model::ServiceName;

use super::{Daemon, Sim, Truth};

/// How long a session lives without being renewed.
const TTL: Duration = Duration::from_secs(15);

/// A lease: whose it is, or was last.
#[derive(Debug, Clone, Copy)]
struct Held {
    by: Daemon,
    tenure: u64,
    locked: bool,
}

/// All leases.
#[derive(Debug, Default)]
pub struct Leasehold {
    held: BTreeMap<ServiceName, Held>,
    /// Who believes to have which.
    believers: BTreeSet<(Daemon, ServiceName)>,
    /// Since when each daemon's session lives.
    sessions: BTreeMap<Daemon, Instant>,
}

impl Leasehold {
    /// `daemon` starts anew, and knows of no lease.
    pub fn forget(&mut self, daemon: Daemon) {
        self.believers.retain(|(believer, _)| *believer != daemon);
    }

    fn believes(&self, daemon: Daemon, service: &ServiceName) -> bool {
        self.believers.contains(&(daemon, service.clone()))
    }
}

impl Truth {
    /// Whether the session of `daemon` was given up: nobody renewed it while the daemon was stopped.
    fn expired(&self, daemon: Daemon) -> bool {
        let pause = self.faults.pause.filter(|_| daemon == Daemon::Ours);
        let Some((from, _)) = pause else { return false };
        let end = from + TTL;
        let opened = self.leases.sessions.get(&daemon);
        Instant::now() >= end && opened.is_none_or(|opened| *opened < end)
    }

    /// The tenure of `daemon` on `service`, if it has it and knows so.
    fn tenure(&self, daemon: Daemon, service: &ServiceName) -> Option<u64> {
        let held = self.leases.held.get(service).filter(|held| held.by == daemon)?;
        let has = self.leases.believes(daemon, service) && !self.expired(daemon);
        has.then_some(held.tenure)
    }

    /// The lease on `service`, if `daemon` may have it.
    fn lease(&mut self, daemon: Daemon, service: &ServiceName) -> Result<u64, Daemon> {
        let tenure = match self.leases.held.get(service).copied() {
            Some(held) if held.by == daemon => held.tenure,
            Some(held) if held.locked && !self.expired(held.by) => return Err(held.by),
            Some(held) => held.tenure + 1,
            None => 0,
        };
        self.leases.held.insert(service.clone(), Held { by: daemon, tenure, locked: true });
        self.leases.believers.insert((daemon, service.clone()));
        self.leases.sessions.insert(daemon, Instant::now());
        Ok(tenure)
    }

    /// Whether a write of `service` by `daemon` passes its fence.
    pub fn passes(&self, daemon: Daemon, service: &ServiceName) -> bool {
        let held = self.leases.held.get(service);
        let has = held.is_some_and(|held| held.locked && held.by == daemon);
        !self.leases.believes(daemon, service) || (has && !self.expired(daemon))
    }

    fn rival(&self, daemon: Daemon, service: &ServiceName) -> Option<Daemon> {
        let held = self.leases.held.get(service).filter(|held| held.locked && held.by != daemon)?;
        (!self.expired(held.by)).then_some(held.by)
    }
}

#[async_trait]
impl Leases for Sim {
    async fn take(&self, service: &ServiceName) -> PortResult<Tenure> {
        let daemon = self.daemon;
        let had = self.truth().tenure(daemon, service);
        if let Some(tenure) = had {
            return Ok(Tenure(tenure));
        }
        self.act_whole("take the lease", |truth| {
            truth.lease(daemon, service).map(Tenure).map_err(|other| {
                let held = format!("daemon `{other:?}` deploys it");
                PortError::new(Trouble::Superseded, "take the lease").because(held)
            })
        })
        .await
    }

    async fn leave(&self, service: &ServiceName, _: bool) {
        let mut truth = self.truth();
        let leases = &mut truth.leases;
        leases.believers.remove(&(self.daemon, service.clone()));
        if let Some(held) = leases.held.get_mut(service).filter(|held| held.by == self.daemon) {
            held.locked = false;
        }
    }

    async fn left(&self) -> PortResult<Vec<ServiceName>> {
        let daemon = self.daemon;
        self.act("see which leases are left", |truth| {
            let left = truth.leases.held.iter().filter(|(service, held)| {
                held.by == daemon && held.locked && !truth.leases.believes(daemon, service)
            });
            Ok(left.map(|(service, _)| service.clone()).collect())
        })
        .await
    }

    async fn rival(&self, service: &ServiceName) -> PortResult<Option<String>> {
        let daemon = self.daemon;
        self.act("see who has the lease", |truth| {
            Ok(truth.rival(daemon, service).map(|rival| format!("{rival:?}")))
        })
        .await
    }
}
