use std::io;

use clap::Args;
use clap_complete::Shell;

use super::error::CliError;
use crate::model::ExitCode;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris completions bash > /etc/bash_completion.d/verdigris
  verdigris completions zsh > ~/.zfunc/_verdigris")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "verdigris", &mut script);
        io::Write::write_all(&mut io::stdout().lock(), &script).map_err(CliError::Output)?;
        Ok(ExitCode::Success)
    }
}
