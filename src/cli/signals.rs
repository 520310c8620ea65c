use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::error::CliError;

/// After a signal the process is gone within 5 s; what happens until then is still shown.
const LEAVE: Duration = Duration::from_secs(4);

/// SIGINT and SIGTERM, from the moment this is made.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

/// A signal that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Interrupt {
    /// Which.
    pub(super) name: &'static str,
    /// When the process must be about to end.
    pub(super) leave_at: Instant,
}

impl Interrupt {
    /// What a process that the signal ends exits with by convention.
    pub(super) fn exit_code(&self) -> i32 {
        let signal =
            if self.name == "SIGINT" { SignalKind::interrupt() } else { SignalKind::terminate() };
        128 + signal.as_raw_value()
    }
}

impl Signals {
    /// From now on the process no longer ends by itself.
    pub(super) fn listen() -> Result<Self, CliError> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(CliError::Signals)?,
            terminate: signal(SignalKind::terminate()).map_err(CliError::Signals)?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Interrupt {
        let name = tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        };
        Interrupt { name, leave_at: Instant::now() + LEAVE }
    }
}
