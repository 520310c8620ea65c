//! `books-ms`: a small service to deploy blue-green.
//!
//! It tells its release and colour with every answer, has slow, streaming and WebSocket
//! endpoints, ends politely on SIGTERM, and can be [broken on purpose](fault).
//!
//! `books-ms` serves; `books-ms health` is the container's health check.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod fault;
mod identity;
mod probe;
mod routes;
mod state;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use books_ms::say;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::fault::Fault;
use crate::identity::Identity;
use crate::state::AppState;

/// Requests in flight may take this long after SIGTERM: below Docker's default of ten seconds.
const GRACE: Duration = Duration::from_secs(9);
const DEFAULT_PORT: u16 = 8080;

fn main() -> ExitCode {
    let verb = std::env::args().nth(1);
    match run(verb.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("books-ms: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Option<&str>) -> anyhow::Result<()> {
    let port = port()?;
    match verb {
        None | Some("serve") => serve(port),
        Some("health") => probe::healthy(port),
        Some(other) => bail!("unknown verb `{other}`: `serve` and `health` are known"),
    }
}

fn port() -> anyhow::Result<u16> {
    match std::env::var("BOOKS_PORT") {
        Ok(text) => text.parse().with_context(|| format!("`BOOKS_PORT` is `{text}`, not a port")),
        Err(_) => Ok(DEFAULT_PORT),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn serve(port: u16) -> anyhow::Result<()> {
    let fault = Fault::from_environment()?;
    let identity = Identity::from_environment();
    if fault == Fault::ExitAtStart {
        bail!("cannot open the catalogue: no such file (the fault `exit-at-start`)");
    }
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    say(format_args!("books-ms {identity} listens on {}", listener.local_addr()?));

    let stop = terminated()?;
    let state = Arc::new(AppState::new(identity, fault));
    tokio::select! {
        outcome = serve_until(listener, state, stop) => outcome,
        () = doom(fault) => bail!("lost the catalogue while serving (the fault `exit-after`)"),
    }
}

/// Serves until `stop`, then accepts no more and finishes what is in flight, within [`GRACE`].
async fn serve_until(
    listener: TcpListener,
    state: Arc<AppState>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let stop = async move {
        stop.await;
        say("books-ms stops: finishing what is in flight");
        // Without a receiver the server has ended already.
        let _ = stopping.send(());
    };
    let server = axum::serve(listener, routes::router(state)).with_graceful_shutdown(stop);
    let overdue = async {
        if stopped.await.is_ok() {
            tokio::time::sleep(GRACE).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        outcome = server => outcome.context("the server failed"),
        () = overdue => {
            say(format_args!("books-ms stops: cut off what did not finish in {} s", GRACE.as_secs()));
            Ok(())
        }
    }
}

/// Completes on SIGTERM or SIGINT. As the first process of a container it would not get either
/// without asking.
fn terminated() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn doom(fault: Fault) {
    match fault {
        Fault::ExitAfter(delay) => tokio::time::sleep(delay).await,
        _ => std::future::pending().await,
    }
}
