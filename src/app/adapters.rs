//! Builds the concrete adapters.

use std::sync::Arc;

use async_trait::async_trait;

use super::settings;
use crate::config::{Config, Registry as RegistryConfig};
use crate::deploy::ports::{Clock, EventLog, Leases, PortResult, Registry, World};
use crate::docker::Client;
use crate::gate::GateRunner;
use crate::journal::{Retention, StateDir, StateDirError, Store};
use crate::model::{DeploymentId, Event};
use crate::proxy::Fleet;
use crate::registry::consul::{Consul, ConsulLeases};
use crate::registry::embedded::Embedded;
use crate::swarm::DockerSwarm;

/// A part of the daemon cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The state directory is taken or cannot be used.
    #[error(transparent)]
    State(#[from] StateDirError),
    /// A database of the state directory.
    #[error("cannot open the store in the state directory")]
    Store(#[source] crate::sqlite::OpenError),
    /// An engine's address or certificates.
    #[error("cannot speak to the engine of `[{section}]`")]
    Engine {
        /// `swarm` or `ci`.
        section: &'static str,
        /// Why.
        source: crate::docker::Error,
    },
    /// Consul's settings.
    #[error("cannot use the registry of `[registry]`")]
    Registry(#[source] crate::registry::consul::SettingsError),
    /// A proxy.
    #[error("cannot keep the proxies")]
    Proxy(#[source] crate::proxy::Error),
}

/// All adapters; what `World` has of them, and what only status and `doctor` ask.
pub struct Adapters {
    pub world: World,
    pub store: Store,
    pub swarm: Arc<DockerSwarm>,
    pub ci: Client,
    pub fleet: Arc<Fleet>,
    pub registry: RegistryKind,
}

/// Which registry it is.
pub enum RegistryKind {
    Embedded(Arc<Embedded>),
    Consul(Arc<Consul>),
}

impl RegistryKind {
    fn open(config: &Config, state: &StateDir) -> Result<Self, BuildError> {
        match &config.registry {
            RegistryConfig::Embedded => {
                let registry = Embedded::open(state.path()).map_err(BuildError::Store)?;
                Ok(Self::Embedded(Arc::new(registry)))
            }
            RegistryConfig::Consul(consul) => {
                let registry =
                    Consul::new(&settings::consul(consul)).map_err(BuildError::Registry)?;
                Ok(Self::Consul(Arc::new(registry)))
            }
        }
    }

    /// Who may change a service: by the lock on the state directory, or by leases in Consul.
    async fn leases(&self, store: &Store) -> Arc<dyn Leases> {
        match self {
            Self::Embedded(registry) => Arc::clone(registry) as _,
            Self::Consul(registry) => {
                Arc::new(ConsulLeases::new(Arc::clone(registry), holder(store).await))
            }
        }
    }

    fn port(&self) -> Arc<dyn Registry> {
        match self {
            Self::Embedded(registry) => Arc::clone(registry) as _,
            Self::Consul(registry) => Arc::clone(registry) as _,
        }
    }
}

impl Adapters {
    /// Build them all. The state directory is locked first: a second daemon gets no further.
    pub async fn build(config: &Config) -> Result<Self, BuildError> {
        let state = StateDir::lock(&config.daemon.state)?;
        let store = Store::open(&state, Retention::default()).await.map_err(BuildError::Store)?;
        let registry = RegistryKind::open(config, &state)?;
        let client = |section, engine| {
            let client = Client::new(&settings::engine(engine));
            client.map_err(|source| BuildError::Engine { section, source })
        };
        let swarm = Arc::new(DockerSwarm::new(client("swarm", &config.swarm)?));
        let ci = client("ci", &config.ci)?;
        let keepers = config.proxies.iter().map(|proxy| settings::proxy(proxy, state.path()));
        let port = registry.port();
        let fleet = Fleet::start(keepers.collect(), &*port).await.map_err(BuildError::Proxy)?;
        let fleet = Arc::new(fleet);
        let world = World {
            swarm: Arc::clone(&swarm) as _,
            registry: port,
            leases: registry.leases(&store).await,
            proxies: Arc::clone(&fleet) as _,
            gates: Arc::new(GateRunner::new(ci.clone())),
            journal: Arc::new(store.clone()),
            log: Arc::new(Log(store.clone())),
            clock: Arc::new(WallClock),
        };
        Ok(Self { world, store, swarm, ci, fleet, registry })
    }
}

/// Under which the store keeps the name that this daemon has among others.
const HOLDER: &str = "lease-holder";

/// The daemon's name among others: the host's, and a word that is kept in the state directory, so that
/// it is the same after a restart.
async fn holder(store: &Store) -> String {
    if let Ok(Some(holder)) = store.meta(HOLDER).await {
        return holder;
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    // The end of an id is random.
    let id = DeploymentId::new().to_string();
    let holder = format!("{}-{}", host.trim(), &id[id.len() - 8..]);
    if let Err(error) = store.set_meta(HOLDER, &holder).await {
        tracing::warn!(
            error = error.chain(),
            "after a restart this daemon is a stranger to itself"
        );
    }
    holder
}

/// The store as the log of events.
struct Log(Store);

#[async_trait]
impl EventLog for Log {
    async fn keep(&self, event: &Event) {
        if let Err(error) = self.0.append_event(event).await {
            tracing::warn!(error = error.chain(), "an event is not kept");
        }
    }

    async fn events(&self, deployment: DeploymentId) -> PortResult<Vec<Event>> {
        self.0.events(deployment, None).await
    }
}

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
}
