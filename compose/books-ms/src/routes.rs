//! What the service answers, under `/` for health checks and under `/api/v1/books` for the public.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use books_ms::catalogue::BOOKS;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_stream::{Stream, StreamExt};

use crate::state::AppState;

/// The prefix under which a proxy routes to us.
const PUBLIC: &str = "/api/v1/books";
/// A stream sends a line this often: often enough that a cut shows at once.
const STREAM_EVERY: Duration = Duration::from_millis(100);
/// Longer delays would only hide a mistake in the caller.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// The whole service.
pub fn router(state: Arc<AppState>) -> Router {
    let public = endpoints()
        .route("/", get(books))
        .route("/health", get(health))
        .layer(middleware::from_fn_with_state(state.clone(), break_if_faulty));
    Router::new()
        .nest(PUBLIC, public)
        .route("/health", get(health))
        .merge(endpoints())
        .layer(middleware::from_fn(delay))
        .layer(middleware::from_fn_with_state(state.clone(), sign))
        .with_state(state)
}

fn endpoints() -> Router<Arc<AppState>> {
    Router::new()
        .route("/version", get(version))
        .route("/stream", get(stream))
        .route("/ws", get(websocket))
}

// ------------------------------------------------------------------ middleware

#[derive(Deserialize)]
struct Delay {
    /// Milliseconds before the answer.
    #[serde(default)]
    delay: u64,
}

async fn delay(Query(Delay { delay }): Query<Delay>, request: Request, next: Next) -> Response {
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay).min(LONGEST_DELAY)).await;
    }
    next.run(request).await
}

/// Puts release and colour on every answer, the failed ones too.
async fn sign(State(state): State<Arc<AppState>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [
        ("x-books-release", &state.identity.release),
        ("x-books-colour", &state.identity.colour),
        ("x-books-edition", &state.identity.edition),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

async fn break_if_faulty(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    if state.fails(request.headers()) {
        let body = Json(json!({ "error": "the catalogue cannot be read" }));
        return (StatusCode::INTERNAL_SERVER_ERROR, body).into_response();
    }
    next.run(request).await
}

// ------------------------------------------------------------------ endpoints

async fn health(State(state): State<Arc<AppState>>) -> Response {
    if state.healthy() {
        Json(json!({ "status": "ok" })).into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({ "status": "sick" }))).into_response()
    }
}

async fn books(State(state): State<Arc<AppState>>) -> Json<Value> {
    let books = if state.answers_wrongly() { &[][..] } else { &BOOKS[..] };
    Json(json!({
        "books": books,
        "release": state.identity.release,
        "colour": state.identity.colour,
        "edition": state.identity.edition,
    }))
}

async fn version(State(state): State<Arc<AppState>>) -> Json<Value> {
    Json(json!({
        "release": state.identity.release,
        "colour": state.identity.colour,
        "edition": state.identity.edition,
        "hostname": state.identity.hostname,
    }))
}

#[derive(Deserialize)]
struct Length {
    /// Ends the stream after so many seconds; without it the client does.
    seconds: Option<u64>,
}

async fn stream(State(state): State<Arc<AppState>>, Query(length): Query<Length>) -> Response {
    let content_type = (header::CONTENT_TYPE, "text/plain; charset=utf-8");
    // A proxy that collects the answer first would make a stream look dead.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), "no");
    ([content_type, unbuffered], Body::from_stream(lines(&state, length.seconds))).into_response()
}

fn lines(
    state: &AppState,
    seconds: Option<u64>,
) -> impl Stream<Item = Result<String, Infallible>> + Send + 'static {
    let per_second = 1000 / u64::try_from(STREAM_EVERY.as_millis()).unwrap_or(1);
    let count = seconds.map_or(u64::MAX, |seconds| seconds.saturating_mul(per_second));
    let who = format!("{} {}", state.identity.colour, state.identity.release);
    tokio_stream::iter(0..count)
        .throttle(STREAM_EVERY)
        .map(move |number| Ok(format!("{number} {who}\n")))
}

async fn websocket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo)
}

/// Sends back text and bytes until the other side closes. Pings are answered by the library.
async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let gone = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await.is_err(),
            Message::Ping(_) | Message::Pong(_) => false,
            Message::Close(_) => true,
        };
        if gone {
            break;
        }
    }
}
