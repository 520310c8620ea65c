//! What was committed last, without reading it from the journal in every look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{Reconciler, lock};
use crate::deploy::history::{self, Committed};
use crate::deploy::ports::{PortResult, SwarmSnapshot};
use crate::discovery::leftovers::{Owner, owner};
use crate::model::{DeploymentId, ServiceName, ServiceRecord, labels};

/// The newest deployment of a service when it was read, and what was committed last.
type Known = (DeploymentId, Option<Arc<Committed>>);

/// The last commit of each service, and the newest deployment when it was read: as long as there is no
/// newer one, it is the last.
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
        let journal = &*self.world.journal;
        let Some(newest) = journal.recent(Some(service), 1).await?.first().copied() else {
            return Ok(None);
        };
        let known = lock(&self.memory.known).get(service).cloned();
        if let Some((_, last)) = known.filter(|(read_at, _)| *read_at == newest) {
            return Ok(last);
        }
        // One that was just accepted, or waits for its turn, may commit yet.
        let settled = self.engine.under_way(service).is_none()
            && owner(&journal.read(newest).await?) == Owner::Ended;
        let last = history::last_committed(journal, service).await?.map(Arc::new);
        if settled {
            lock(&self.memory.known).insert(service.clone(), (newest, last.clone()));
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
