//! The one place that names concrete adapters: builds the daemon from its configuration, serves it,
//! and ends it.

mod adapters;
mod daemon;
mod examine;
mod metrics;
mod settings;
mod status;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::auth::Auth;
use crate::api::{self, BindError, Holds, Surroundings};
use crate::config::{Config, Listen};
use crate::deploy::engine::Engine;
use crate::deploy::ledger::Ledger;
use crate::deploy::mailbox::Tally;
use crate::discovery::Reconciler;
use crate::proxy;
use crate::webhook::{self, Persistence};
use adapters::Adapters;
use daemon::Daemon;
use metrics::{Metrics, Now};

pub use adapters::BuildError;
pub use examine::{check_templates, examine};

/// Why the daemon does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A part of it cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A listener cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The journal cannot be read.
    #[error("cannot take up unfinished deployments")]
    Resume(#[source] crate::deploy::ports::PortError),
}

impl ServeError {
    /// Somebody does not answer without whom it cannot begin.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        let unremembered =
            matches!(self, Self::Build(BuildError::Proxy(proxy::Error::Unremembered { .. })));
        unremembered || matches!(self, Self::Resume(_))
    }

    /// What to do about it, when that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Build(BuildError::Proxy(error)) => error.remedy(),
            _ => None,
        }
    }
}

/// How long the daemon takes to end once it was asked to: Docker kills ten seconds after it asked. What
/// acts still is cut off then as by a kill, which the journal is made for.
pub const GRACE: Duration = Duration::from_secs(8);

/// Serve until `shutdown` fires. Deployments under way are parked at a journalled point then, within
/// [`GRACE`], and the next start goes on with them; traffic needs no daemon.
pub async fn serve(config: Config, shutdown: CancellationToken) -> Result<(), ServeError> {
    #[cfg(feature = "failpoints")]
    crate::deploy::failpoint::arm();
    let listeners = listen(&config).await?;
    let adapters = Adapters::build(&config).await?;
    let ledger = Arc::new(Ledger::new(Arc::clone(&adapters.world.registry)));
    let engine = Engine::new(adapters.world.clone(), Arc::clone(&ledger), shutdown.clone());
    let reconciler = Arc::new(Reconciler::new(adapters.world.clone(), ledger, engine.clone()));
    let untold = Tally::default();
    let metrics = Metrics::new(now(&engine, &adapters), engine.missed_news(), untold.clone());
    let tracker = TaskTracker::new();
    let daemon = Arc::new(Daemon::new(adapters, engine.clone(), Arc::clone(&reconciler)));

    // Before anything happens.
    let over = CancellationToken::new();
    let hooks = config.notify.clone();
    let persistence = Persistence::default();
    tracker.spawn(webhook::tell(hooks, daemon.clone(), persistence, untold, over.clone()));
    engine.resume().await.map_err(ServeError::Resume)?;
    tracker.spawn(metrics.count(engine.news(), shutdown.clone()));
    let (ready, seen) = watch::channel(false);
    tracker.spawn({
        let shutdown = shutdown.clone();
        async move { reconciler.run(ready, shutdown).await }
    });
    let surroundings = Surroundings {
        holds: Holds::new(daemon.clone(), shutdown.clone()),
        control: daemon,
        ready: seen,
        metrics: metrics.registry(),
        shutdown: shutdown.clone(),
    };
    for id in engine.held() {
        surroundings.holds.expect_again(id);
    }
    for (listener, auth) in listeners {
        let router = api::router(surroundings.clone(), auth);
        tracker.spawn(api::serve(listener, router, shutdown.clone()));
    }
    tracing::info!("ready");
    shutdown.cancelled().await;
    let end = async {
        engine.parked().await;
        over.cancel();
        tracker.close();
        tracker.wait().await;
    };
    if tokio::time::timeout(GRACE, end).await.is_err() {
        let services = engine.busy();
        tracing::warn!(?services, "not all has come to its end: the next start goes on with it");
    }
    Ok(())
}

/// What metrics show of this moment.
fn now(engine: &Engine, adapters: &Adapters) -> Now {
    let (engine, fleet) = (engine.clone(), Arc::clone(&adapters.fleet));
    Now {
        standings: Box::new(move || engine.standings()),
        proxies: Box::new(move || fleet.status()),
    }
}

/// Bind everything before anything is touched.
async fn listen(config: &Config) -> Result<Vec<(api::Listener, Auth)>, BindError> {
    let mut listeners = Vec::with_capacity(config.daemon.listen.len());
    for listen in &config.daemon.listen {
        listeners.push(match listen {
            Listen::Unix(path) => {
                // Where this fails, binding fails too and says why.
                if let Some(parent) = path.parent() {
                    let _ = tokio::fs::create_dir_all(parent).await;
                }
                (api::Listener::unix(path).await?, Auth::Socket)
            }
            Listen::Tcp(address) => {
                let auth = Auth::Tokens(config.tokens.clone());
                (api::Listener::tcp(*address).await?, auth)
            }
        });
    }
    Ok(listeners)
}
