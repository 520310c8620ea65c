//! The seams: what a deployment needs from the outside, in the field's words.
//!
//! Each has one real adapter (the registry two) and one in the simulated world. Every act here is
//! idempotent: doing it again, or after half of it was done, ends in the same state.

mod error;
mod gates;
mod journal;
mod leases;
mod proxies;
mod registry;
mod swarm;

use std::sync::Arc;

use jiff::Timestamp;

pub use error::{Origin, PortError, PortResult, Trouble};
pub use gates::{GateContext, GateError, Gates, JunitFile, Output, Sight};
pub use journal::{EventLog, Journal, Past};
pub use leases::{Leases, Tenure};
pub use proxies::{Answers, Door, Idle, Proxies, ProxyViews};
pub use registry::{Change, Registry};
pub use swarm::{BothColours, Found, PortWanted, Swarm, SwarmSnapshot, Tail};

/// The wall clock. Waiting is tokio's; this is for instants that outlive the process.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// All the ports together: the world that a deployment acts on.
#[derive(Clone)]
pub struct World {
    /// Runs the colours.
    pub swarm: Arc<dyn Swarm>,
    /// Records them.
    pub registry: Arc<dyn Registry>,
    /// Says who may.
    pub leases: Arc<dyn Leases>,
    /// Leads the public to them.
    pub proxies: Arc<dyn Proxies>,
    /// Judges them.
    pub gates: Arc<dyn Gates>,
    /// Remembers.
    pub journal: Arc<dyn Journal>,
    /// Keeps what was said.
    pub log: Arc<dyn EventLog>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
}
