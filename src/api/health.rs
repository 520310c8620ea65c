//! What watches the daemon: liveness, readiness, metrics.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Api;
use super::auth::Caller;
use super::problem::Problem;
use crate::config::Scope;
use crate::deploy::control::{Refusal, RefusalKind};

/// Paths that stand outside of `/v1`. The first two say nothing worth hiding.
pub(crate) fn routes() -> Router<Api> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn readyz(State(api): State<Api>) -> Result<&'static str, Problem> {
    if api.shutdown.is_cancelled() {
        return Err(Refusal::new(RefusalKind::ShuttingDown, "the daemon is stopping").into());
    }
    if *api.ready.borrow() {
        return Ok("ready\n");
    }
    let message = "the daemon has not yet compared the Swarm, the registry and the proxies";
    Err(Refusal::new(RefusalKind::Unreachable, message).remedy("ask again in a moment").into())
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

async fn metrics(State(api): State<Api>, caller: Caller) -> Result<Response, Problem> {
    caller.may_all(Scope::Read)?;
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &api.metrics) {
        Ok(()) => Ok((StatusCode::OK, [(CONTENT_TYPE, OPENMETRICS)], text).into_response()),
        Err(error) => {
            Err(Refusal::new(RefusalKind::Internal, format!("cannot write the metrics: {error}"))
                .into())
        }
    }
}
