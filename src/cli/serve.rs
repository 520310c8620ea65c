use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use crate::model::ExitCode;
use crate::{app, config};

/// Run the daemon
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration
    #[arg(long, env = "VERDIGRIS_CONFIG", default_value = "/etc/verdigris/verdigris.toml")]
    config: PathBuf,
}

impl Serve {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let config = config::load(&self.config)?;
        log();
        let shutdown = CancellationToken::new();
        let asked = shutdown.clone();
        let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Signals)?;
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            asked.cancel();
        });
        app::serve(config, shutdown).await.map_err(|error| CliError::Daemon(error.into()))?;
        Ok(ExitCode::Success)
    }
}

/// Log to standard error: plain text, or JSON with `VERDIGRIS_LOG_FORMAT=json`; what is said is
/// chosen by `RUST_LOG`.
fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let json = std::env::var_os("VERDIGRIS_LOG_FORMAT").is_some_and(|format| format == "json");
    // A test in the same process may have set one up: that one serves.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}
