use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tokio_util::sync::CancellationToken;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::error::CliError;
use super::signals::Signals;
use crate::model::ExitCode;
use crate::{app, config};

/// Run the daemon
#[derive(Debug, Args)]
#[command(after_long_help = "\
SIGTERM and SIGINT stop it, within 8 s: deployments under way are parked and go on with the next
start, traffic needs no daemon. A second signal ends it at once, which harms nothing either.

What is logged is chosen by RUST_LOG (`info` unless set); the audit log is its target `audit`,
and is logged unless RUST_LOG names that.

Examples:
  verdigris serve
  verdigris serve --config ./verdigris.toml
  RUST_LOG=verdigris=debug verdigris serve --log-format json")]
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
            let again = signals.next().await;
            tracing::warn!(signal = again.name, "ending at once");
            std::process::exit(again.exit_code());
        });
        app::serve(config, shutdown).await?;
        Ok(ExitCode::Success)
    }
}

/// Log to standard error, in colour on a terminal.
fn log(format: LogFormat) {
    use std::io::{IsTerminal, stderr};
    let filter = filter(std::env::var(EnvFilter::DEFAULT_ENV).ok().as_deref());
    let coloured = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured).with_writer(stderr);
    let harmless = filter_fn(is_harmless);
    // A test in the same process may have set one up: that one serves.
    let _ = match format {
        LogFormat::Text => builder.finish().with(harmless).try_init(),
        LogFormat::Json => builder.json().finish().with(harmless).try_init(),
    };
}

/// What `asked` says of it, or else `info`. Who changed what is logged unless it is named itself: it is a
/// record, not a diagnosis.
fn filter(asked: Option<&str>) -> EnvFilter {
    let parsed = asked.and_then(|asked| EnvFilter::try_new(asked).ok());
    let filter = parsed.unwrap_or_else(|| EnvFilter::new("info"));
    let is_named = asked.is_some_and(|asked| asked.contains("audit"));
    match AUDITED.parse() {
        Ok(directive) if !is_named => filter.add_directive(directive),
        _ => filter,
    }
}

const AUDITED: &str = "audit=info";

/// Below `info`, bollard logs whatever it sends, and environments of gates hold secrets: so it does
/// not get that far, whatever `RUST_LOG` says.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || !metadata.target().starts_with("bollard")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_log_is_switched_off_only_by_its_name() {
        for (asked, audited) in [
            (None, true),
            (Some("warn"), true),
            (Some("verdigris=debug"), true),
            (Some("warn,audit=off"), false),
            (Some("what=is=this"), true),
        ] {
            let subscriber = tracing_subscriber::fmt().with_env_filter(filter(asked)).finish();
            tracing::subscriber::with_default(subscriber, || {
                assert_eq!(tracing::enabled!(target: "audit", Level::INFO), audited, "{asked:?}");
            });
        }
    }

    #[test]
    fn what_bollard_sends_is_not_logged_at_any_level_that_is_asked_for() {
        let all = tracing_subscriber::fmt().with_max_level(Level::TRACE).finish();
        tracing::subscriber::with_default(all.with(filter_fn(is_harmless)), || {
            assert!(!tracing::enabled!(target: "bollard::docker", Level::DEBUG));
            assert!(tracing::enabled!(target: "bollard::docker", Level::WARN));
            assert!(tracing::enabled!(target: "verdigris", Level::DEBUG));
        });
    }
}
