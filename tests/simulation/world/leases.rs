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

    /// The session of `daemon` is gone, and it does not know.
    pub fn lose_session(&mut self, daemon: Daemon) {
        let held = self.held.values_mut().filter(|held| held.by == daemon);
        held.for_each(|held| held.locked = false);
    }

    /// `daemon` finds that its session is gone.
    pub fn notice_loss(&mut self, daemon: Daemon) {
        let held = &self.held;
        self.believers.retain(|(believer, service)| {
            *believer != daemon || held.get(service).is_some_and(|held| held.locked)
        });
    }

    fn believes(&self, daemon: Daemon, service: &ServiceName) -> bool {
        self.believers.contains(&(daemon, service.clone()))
    }
}

impl Truth {
    /// Whether the session of `daemon` was given up: nobody renewed it while the daemon was stopped.
    fn expired(&self, daemon: Daemon) -> bool {
        let Some(end) = self.overslept(daemon) else { return false };
        let opened = self.leases.sessions.get(&daemon);
        opened.is_none_or(|opened| *opened < end)
    }

    /// When the session of `daemon` ended, if that was stopped for longer than it lived.
    pub fn overslept(&self, daemon: Daemon) -> Option<Instant> {
        let (from, until) = self.faults.pause.filter(|_| daemon == Daemon::Ours)?;
        let end = from + TTL;
        (end < until && end <= Instant::now()).then_some(end)
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

    /// A write of `service` by `daemon` passes its fence. Where it does not though nobody else has had
    /// the service, it is the session that was lost, and the daemon knows from then on.
    pub fn passes(&mut self, daemon: Daemon, service: &ServiceName) -> Result<(), Trouble> {
        let held = self.leases.held.get(service).filter(|held| held.by == daemon);
        let locked = held.is_some_and(|held| held.locked) && !self.expired(daemon);
        if locked || !self.leases.believes(daemon, service) {
            return Ok(());
        }
        if held.is_none() {
            return Err(Trouble::Superseded);
        }
        self.leases.believers.remove(&(daemon, service.clone()));
        Err(Trouble::Unreachable)
    }

    /// The other daemon that has the lease on `service`.
    pub fn rival(&self, daemon: Daemon, service: &ServiceName) -> Option<Daemon> {
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
