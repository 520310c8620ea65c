//! Progress as server-sent events.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::auth::Caller;
use super::body::{Asked, Named};
use super::deployments::readable;
use super::problem::Problem;
use crate::config::Scope;
use crate::deploy::control::{Control, Refusal};
use crate::model::{DeploymentId, Event, Happening};

/// A comment is sent when nothing happened for this long: it keeps proxies from closing the
/// connection and finds out that a client is gone.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// How to follow a deployment.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Following {
    /// Abort the deployment when this stream breaks before its end and is not taken up again at
    /// once: for the client that submitted it with `on_disconnect: revert`.
    #[serde(default)]
    hold: bool,
    /// Only what comes after this event; the header `Last-Event-ID` goes before it.
    after: Option<u64>,
}

/// Everything that happened in a deployment, then what happens, until its end. Each event's `id` is
/// its `seq`; with `Last-Event-ID` the stream goes on after that one.
#[utoipa::path(
    get, path = "/v1/deployments/{id}/events",
    params(("id" = String, Path, description = "Its id"), Following),
    responses(
        (status = 200, content_type = "text/event-stream", body = Event),
        (status = "4XX", description = "Refused", body = Refusal),
    )
)]
pub(crate) async fn follow(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<DeploymentId>,
    Asked(Following { hold, after }): Asked<Following>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    let view = readable(&api, &caller, id).await?;
    if hold {
        caller.may(&[Scope::Deploy], &view.service)?;
    }
    let after = last_event(&headers)?.or(after);
    let events = api.control.follow(id, after).await?;
    let held = hold.then(|| api.holds.hold(id));
    let events = until_end(events).map(move |event| {
        if let (Some(held), Happening::Ended { .. }) = (&held, &event.what) {
            held.release();
        }
        sse::Event::default().id(event.seq.to_string()).data(json(&event))
    });
    Ok(answer(events, api.shutdown))
}

/// Everything that happened in a deployment so far.
#[utoipa::path(
    get, path = "/v1/deployments/{id}/log",
    params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, body = Vec<Event>),
        (status = "4XX", description = "Refused", body = Refusal),
    )
)]
pub(crate) async fn log(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<DeploymentId>,
) -> Result<Json<Vec<Event>>, Problem> {
    readable(&api, &caller, id).await?;
    Ok(Json(api.control.events(id).await?))
}

/// Everything that happens in any deployment from now on.
#[utoipa::path(
    get, path = "/v1/events",
    responses(
        (status = 200, content_type = "text/event-stream", body = Event),
        (status = "4XX", description = "Refused", body = Refusal),
    )
)]
pub(crate) async fn watch(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    caller.may_any(&[Scope::Read])?;
    let events = visible(api.control.clone(), caller);
    let events = events.map(|event| sse::Event::default().data(json(&event)));
    Ok(answer(events, api.shutdown))
}

/// Everything that happens, as far as `caller` may know of it.
fn visible(control: Arc<dyn Control>, caller: Caller) -> impl Stream<Item = Event> {
    let known: HashMap<DeploymentId, bool> = HashMap::new();
    let all = control.watch();
    stream::unfold((all, known), move |(mut all, mut known)| {
        let (control, caller) = (control.clone(), caller.clone());
        async move {
            loop {
                let event = all.next().await?;
                let id = event.deployment;
                let seen = match known.get(&id) {
                    Some(seen) => *seen,
                    None => may_see(&*control, &caller, id).await,
                };
                known.insert(id, seen);
                if matches!(event.what, Happening::Ended { .. }) {
                    known.remove(&id);
                }
                if seen {
                    return Some((event, (all, known)));
                }
            }
        }
    })
}

async fn may_see(control: &dyn Control, caller: &Caller, id: DeploymentId) -> bool {
    caller.sees_all() || control.deployment(id).await.is_ok_and(|view| caller.sees(&view.service))
}

fn answer(
    events: impl Stream<Item = sse::Event> + Send + 'static,
    shutdown: CancellationToken,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let events = events.map(Ok).take_until(shutdown.cancelled_owned());
    Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("still here"))
}

/// `events` up to and with the deployment's end.
fn until_end(
    events: impl Stream<Item = Event> + Send + 'static,
) -> impl Stream<Item = Event> + Send + 'static {
    stream::unfold(Some(events.boxed()), |events| async {
        let mut events = events?;
        let event = events.next().await?;
        let over = matches!(event.what, Happening::Ended { .. });
        Some((event, (!over).then_some(events)))
    })
}

/// An event is made of strings, numbers and maps with string keys: writing it as JSON cannot fail.
fn json(event: &Event) -> String {
    serde_json::to_string(event).unwrap_or_default()
}

fn last_event(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(header) = headers.get("last-event-id") else { return Ok(None) };
    let text = String::from_utf8_lossy(header.as_bytes());
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            Problem::invalid(format!("`Last-Event-ID: {text}` is not the id of an event: a number"))
        }),
    }
}
