//! The HTTP API and the dashboard.
//!
//! [`router`] answers for one way in (a unix socket, or TCP with tokens) and [`serve`] carries it.
//! Everything that is asked goes to [`Control`]; nothing here knows how it is done.

mod audit;
pub mod auth;
mod body;
mod caller;
mod dashboard;
mod deployments;
mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod hold;
mod inspect;
mod layers;
mod listen;
mod openapi;
mod problem;
mod services;
mod sound;

use std::sync::Arc;

use axum::Router;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::deploy::control::Control;
use auth::Auth;

pub use caller::Granted;
pub use deployments::Because;
pub use hold::Holds;
pub use listen::{BindError, Listener, serve};
pub use services::{Live, PastRelease, Source};

/// What the API needs from the daemon.
#[derive(Clone)]
pub struct Surroundings {
    /// The daemon itself.
    pub control: Arc<dyn Control>,
    /// Which deployments go on only while somebody waits for them; the same for all ways in.
    pub holds: Holds,
    /// Turns true once the daemon has looked at the world after its start.
    pub ready: watch::Receiver<bool>,
    /// What `/metrics` shows.
    pub metrics: Arc<Registry>,
    /// Fires when the daemon stops: open event streams end.
    pub shutdown: CancellationToken,
}

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct Api {
    control: Arc<dyn Control>,
    auth: Arc<Auth>,
    ready: watch::Receiver<bool>,
    metrics: Arc<Registry>,
    shutdown: CancellationToken,
    holds: Holds,
}

/// The API and the dashboard for connections that `auth` judges.
pub fn router(surroundings: Surroundings, auth: Auth) -> Router {
    let Surroundings { control, holds, ready, metrics, shutdown } = surroundings;
    let api = Api { control, auth: Arc::new(auth), ready, metrics, shutdown, holds };
    let paths = openapi::documented().merge(health::routes()).merge(dashboard::routes());
    layers::around(paths, &api).with_state(api)
}
