//! The HTTP API over a fake daemon: what each path takes and answers, and what it refuses.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod bodies;
mod dashboard;
mod deployments;
mod events;
mod looking;
mod rights;
mod serving;
mod sound;

use serde_json::Value;

/// Any host: over a unix socket it stands for nothing.
const BASE: &str = "http://verdigris";

async fn json(response: reqwest::Response) -> Value {
    response.json().await.unwrap()
}

/// Speaks raw HTTP over TCP.
fn http_over_tcp() -> reqwest::Client {
    support::daemon::plain().build().unwrap()
}
