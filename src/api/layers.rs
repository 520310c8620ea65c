//! What surrounds every handler.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::{Level, Span};

use super::problem::{no_such_method, no_such_path, panicked, too_slow};
use super::{Api, auth, dashboard};

/// The largest body: a stack of some hundred services with all their environment is far below.
const LARGEST: usize = 2 * 1024 * 1024;

/// Until an answer begins. Preflight may wait for an engine and a registry that do not answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Paths that are answered to anybody: they tell nothing about services.
const OPEN: [&str; 3] = ["/healthz", "/readyz", "/v1/openapi.json"];

/// `router` with everything that surrounds its handlers. Compression leaves event streams alone, and
/// the time limit ends where a stream begins.
pub(crate) fn around(router: Router<Api>, api: &Api) -> Router<Api> {
    // Whoever asked is told what is wrong; `/readyz` alone would fill the log otherwise.
    let failures = DefaultOnFailure::new().level(Level::DEBUG);
    let trace = TraceLayer::new_for_http().make_span_with(span).on_failure(failures);
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(middleware::from_fn_with_state(api.clone(), guard))
        .layer(middleware::from_fn(limit_time))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(harden))
        .layer(trace)
}

async fn guard(
    state: axum::extract::State<Api>,
    request: Request,
    next: Next,
) -> Result<Response, super::problem::Problem> {
    let path = request.uri().path();
    if OPEN.contains(&path) || dashboard::is_asset(path) {
        return Ok(next.run(request).await);
    }
    auth::authenticate(state, request, next).await
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_slow(PATIENCE.as_secs()).into_response(),
    }
}

/// Answers are what they say they are, and nobody keeps them unless they say so.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The path as routed, so that ids do not multiply spans; headers stay out, they may hold a token.
fn span(request: &Request) -> Span {
    let path = request.extensions().get::<MatchedPath>().map_or("?", MatchedPath::as_str);
    tracing::debug_span!("http", method = %request.method(), path)
}
