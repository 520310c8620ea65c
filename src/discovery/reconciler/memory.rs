//! What was committed last, without reading it from the journal in every look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{Reconciler, lock};
use crate::deploy::history::{self, Committed};
use crate::deploy::ports::{PortResult, SwarmSnapshot};
use crate::discovery::leftovers::{Owner, owner};
use crate::model::{DeploymentId, ServiceName, ServiceRecord, labels};

/// What was committed last of a service. As long as no newer deployment of it is there, it is the last; and
/// there is none as long as none was launched at all.
#[derive(Clone)]
struct Known {
    last: Option<Arc<Committed>>,
    newest: Option<DeploymentId>,
    launched: u64,
}

/// What is known of services without asking again.
#[derive(Default)]
pub(super) struct Memory {
    known: Mutex<BTreeMap<ServiceName, Known>>,
    /// Records of services of which nothing runs that are found to be nobody's leftovers: as long as they are
    /// the same, they are not looked into again.
    pub(super) not_left: Mutex<BTreeMap<ServiceName, ServiceRecord>>,
}

impl Reconciler {
    /// What the journal committed last of `service`; to be asked while no deployment is under way.
    pub(super) async fn last(&self, service: &ServiceName) -> PortResult<Option<Arc<Committed>>> {
        let launched = self.engine.launched();
        let known = lock(&self.memory.known).get(service).cloned();
        if let Some(known) = known.as_ref().filter(|known| known.launched == launched) {
            return Ok(known.last.clone());
        }
        let journal = &*self.world.journal;
        let newest = journal.recent(Some(service), 1).await?.first().copied();
        if let Some(known) = known.filter(|known| known.newest == newest) {
            let last = known.last.clone();
            lock(&self.memory.known).insert(service.clone(), Known { launched, ..known });
            return Ok(last);
        }
        // One that was just accepted, or waits for its turn, may commit yet.
        let settled = self.engine.under_way(service).is_none()
            && match newest {
                Some(newest) => owner(&journal.read(newest).await?) == Owner::Ended,
                None => true,
            };
        let last = history::last_committed(journal, service).await?.map(Arc::new);
        if settled {
            let known = Known { last: last.clone(), newest, launched };
            lock(&self.memory.known).insert(service.clone(), known);
        }
        Ok(last)
    }

    /// Whose the colour is that `snapshot` shows.
    pub(super) async fn owner(&self, snapshot: &SwarmSnapshot) -> PortResult<Owner> {
        let label = snapshot.label(labels::DEPLOYMENT);
        let Some(deployment) = label.and_then(|label| label.parse().ok()) else {
            return Ok(Owner::Unknown);
        };
        Ok(owner(&self.world.journal.read(deployment).await?))
    }
}
