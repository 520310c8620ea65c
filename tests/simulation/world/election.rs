//! An election among the servers of the registry: for a while what is written may be refused, or done
//! and answered with an error, and what is read may be older than what was written last.

use std::time::Duration;

use tokio::time::Instant;
use verdigris::model::{ServiceName, ServiceRecord};

use super::act::Part;
use super::{Fault, Sim, Truth};

/// Versions of a record that a server may be behind.
const BEHIND: usize = 2;

/// How soon a daemon finds at the latest that its session is lost: that often it renews it.
const RENEWAL: u64 = 5_000;

/// An election that goes on until then.
#[derive(Debug, Clone, Copy)]
pub struct Election {
    pub until: Instant,
    /// So many acts in a hundred find no leader, be it after they were done.
    pub leaderless: u32,
    /// So many reads in a hundred are answered by a server that is behind.
    pub behind: u32,
}

/// What servers know that have not followed.
#[derive(Debug, Default)]
pub struct Servers {
    election: Option<Election>,
    /// What was held of each service before, oldest first.
    past: Vec<(ServiceName, ServiceRecord)>,
}

impl Servers {
    /// The record of `service` was this until now.
    pub fn remember(&mut self, service: &ServiceName, was: ServiceRecord) {
        self.past.push((service.clone(), was));
    }

    /// There is a leader again, and all follow it.
    pub fn end_election(&mut self) {
        self.election = None;
    }

    fn election(&self) -> Option<Election> {
        self.election.filter(|election| Instant::now() < election.until)
    }
}

impl Truth {
    /// Whether an act on `part` fails for want of a leader.
    pub fn lacks_leader(&mut self, part: Part) -> bool {
        let election = self.servers.election().filter(|_| part == Part::Registry);
        let lacks = election.is_some_and(|now| self.rng.u32(0..100) < now.leaderless);
        if lacks {
            self.met.insert(Fault::NoLeader);
        }
        lacks
    }

    /// What the server that is asked knows of `service`, where `held` is what is true.
    pub fn known(&mut self, service: &ServiceName, held: ServiceRecord) -> ServiceRecord {
        let election = self.servers.election();
        if election.is_none_or(|now| self.rng.u32(0..100) >= now.behind) {
            return held;
        }
        let past = self.servers.past.iter().rev().filter(|(of, _)| of == service);
        let past: Vec<ServiceRecord> = past.take(BEHIND).map(|(_, was)| was.clone()).collect();
        let Some(stale) = self.rng.choice(past).filter(|stale| *stale != held) else {
            return held;
        };
        self.met.insert(Fault::StaleRead);
        self.faults.trouble();
        stale
    }
}

impl Sim {
    /// The servers of the registry elect a leader.
    pub fn elect(&self, election: Election) {
        let mut truth = self.truth();
        truth.servers.election = Some(election);
        truth.faults.trouble_until(election.until);
    }

    /// The new leader knows nothing of the daemon's session, and that finds out when it renews it, or by a
    /// write that fails.
    pub fn lose_session(&self) {
        let mut truth = self.truth();
        truth.met.insert(Fault::LostSession);
        truth.leases.lose_session(self.daemon);
        let notices = Duration::from_millis(truth.rng.u64(1..RENEWAL));
        let sim = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(notices).await;
            sim.truth().leases.notice_loss(sim.daemon);
        });
    }
}
