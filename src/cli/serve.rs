use std::path::PathBuf;

use clap::Args;

use super::error::CliError;
use crate::model::ExitCode;

/// Run the daemon
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration
    #[arg(long, env = "VERDIGRIS_CONFIG", default_value = "/etc/verdigris/verdigris.toml")]
    config: PathBuf,
}

impl Serve {
    pub(super) async fn run(self) -> Result<ExitCode, CliError> {
        let _ = self.config;
        Ok(ExitCode::Success)
    }
}
