use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::error::CliError;
use super::signals::Signals;
use crate::model::ExitCode;
use crate::{app, config};

/// Run the daemon
#[derive(Debug, Args)]
#[command(after_long_help = "\
SIGTERM and SIGINT stop it: deployments under way are parked and go on with the next start, traffic
needs no daemon. What is logged is chosen by RUST_LOG (`info` unless set); the audit log is its
target `audit`.

Examples:
  verdigris serve
  verdigris serve --config ./verdigris.toml
  RUST_LOG=verdigris=debug,audit=info verdigris serve --log-format json")]
pub(super) struct Serve {
    /// The configuration
    #[arg(
        long,
        env = "VERDIGRIS_CONFIG",
        value_name = "FILE",
        default_value = "/etc/verdigris/verdigris.toml"
    )]
    config: PathBuf,

    /// How the log on standard error is written
    #[arg(long, env = "VERDIGRIS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Serve {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let config = config::load(&self.config)?;
        log(self.log_format);
        let shutdown = CancellationToken::new();
        let mut signals = Signals::listen()?;
        let asked = shutdown.clone();
        tokio::spawn(async move {
            let signal = signals.next().await.name;
            tracing::info!(signal, "stopping");
            asked.cancel();
        });
        app::serve(config, shutdown).await?;
        Ok(ExitCode::Success)
    }
}

/// Log to standard error, in colour on a terminal.
fn log(format: LogFormat) {
    use std::io::{IsTerminal, stderr};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let coloured = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured).with_writer(stderr);
    // A test in the same process may have set one up: that one serves.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
