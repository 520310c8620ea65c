//! Of two daemons at most one acts on a service: whoever has the lease. One that was stopped for so long
//! that it lost it ends what it is at, begins nothing, and changes nothing in the registry.

use verdigris::deploy::record::Record;
use verdigris::model::{Colour, DeploymentId, ServiceName, ServiceRecord};

use super::{Daemon, Truth};

impl Truth {
    /// `daemon` does `what` to the instances of `service`, or to what proxies have of it.
    pub fn examine_act(&mut self, daemon: Daemon, what: &str, service: &ServiceName) {
        // To follow the instances that run takes no lease: a registry that is away must not prevent it.
        if what == "refresh" {
            return;
        }
        let Some(other) = self.rival(daemon, service) else { return };
        let acting = self.acting(daemon, service);
        let outdated = acting.is_some_and(|id| self.outdated.contains(&(daemon, id)));
        if acting.is_none() || outdated || self.overslept(daemon).is_none() {
            let (by, other) = (daemon.name(), other.name());
            self.violate(format!("{by} does `{what}` to {service}, which {other} has"));
        }
    }

    /// The same of the Swarm service `name`.
    pub fn examine_act_on(&mut self, daemon: Daemon, what: &str, name: &str) {
        let suffixes = Colour::BOTH.map(|colour| format!("-{colour}"));
        let service = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix.as_str()));
        if let Some(service) = service.and_then(|service| service.parse().ok()) {
            self.examine_act(daemon, what, &service);
        }
    }

    /// `daemon` has made the record of `service` what it is, in the place of `was`.
    pub fn examine_write(&mut self, daemon: Daemon, service: &ServiceName, was: &ServiceRecord) {
        let Some(other) = self.rival(daemon, service) else { return };
        if self.registry.get(service).cloned().unwrap_or_default() != *was {
            let (by, other) = (daemon.name(), other.name());
            self.violate(format!("{by} writes the record of {service}, which {other} has"));
        }
    }

    /// `daemon` is about to journal `record` of a deployment of `service`: one that does not have the
    /// lease any more may have been stopped, and what it begins from now on it has to leave.
    pub fn examine_tenure(
        &mut self,
        daemon: Daemon,
        id: DeploymentId,
        service: &ServiceName,
        record: &Record,
    ) {
        let begins = matches!(record, Record::Began { .. } | Record::Undoing { .. });
        let Some(other) = self.rival(daemon, service).filter(|_| begins) else { return };
        self.outdated.insert((daemon, id));
        if self.overslept(daemon).is_none() {
            let (by, other) = (daemon.name(), other.name());
            self.violate(format!("{by} begins {record:?} of {service}, which {other} has"));
        }
    }

    /// The deployment of `service` by which `daemon` acts.
    fn acting(&self, daemon: Daemon, service: &ServiceName) -> Option<DeploymentId> {
        let acts = self
            .open
            .iter()
            .find(|((by, _), open)| *by == daemon && open.acts && open.service == *service);
        acts.map(|((_, id), _)| *id)
    }
}
