use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortResult;
use crate::model::ServiceName;

/// Grows by one whenever a service passes from one daemon to another: a deployment that was prepared in
/// an earlier tenure knows nothing of what happened since. 0 where there is no other daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenure(pub u64);

/// Which daemon is responsible for a service: one at a time deploys it.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Have the lease on `service`: at once when it is held, else it is taken, also one that was lost.
    /// While it is held the registry refuses writes of the service once another daemon has it.
    /// [`Trouble::Superseded`](super::Trouble::Superseded) when another daemon has it; the error names that one.
    async fn take(&self, service: &ServiceName) -> PortResult<Tenure>;

    /// Give it back, if it is held; `unfinished`: a deployment of it is parked, so that it must be
    /// noticed when another daemon takes the service meanwhile.
    async fn leave(&self, service: &ServiceName, unfinished: bool);

    /// Services whose lease bears this daemon's name though it does not hold it: a life that was ended
    /// could not give it back.
    async fn left(&self) -> PortResult<Vec<ServiceName>>;

    /// The other daemon that has the lease on `service`, if one has.
    async fn rival(&self, service: &ServiceName) -> PortResult<Option<String>>;
}
