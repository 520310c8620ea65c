use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use secrecy::SecretString;

use super::error::CliError;
use super::screen::Screen;
use crate::client::{Client, DaemonAddress};

/// Options that every verb takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Globals {
    /// Where the daemon listens: `unix:PATH` or `http://HOST:PORT`
    #[arg(
        long,
        global = true,
        env = "VERDIGRIS_DAEMON",
        default_value = "unix:/run/verdigris/verdigris.sock"
    )]
    daemon: DaemonAddress,

    /// File with the token for a daemon that is asked over TCP
    #[arg(long, global = true, env = "VERDIGRIS_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// How answers are written; deployments as JSON are one event a line
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What a verb works with.
pub(super) struct Context {
    daemon: DaemonAddress,
    token_file: Option<PathBuf>,
    pub(super) output: Output,
    pub(super) screen: Screen,
}

impl Context {
    pub(super) fn new(globals: Globals) -> Self {
        let Globals { daemon, token_file, output } = globals;
        Self { daemon, token_file, output, screen: Screen::detect() }
    }

    /// A client of the daemon that was named.
    pub(super) fn client(&self) -> Result<Client, CliError> {
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        Ok(Client::new(self.daemon.clone(), token)?)
    }

    /// Write `answer` as JSON, or `text` of it.
    pub(super) fn answer<T: serde::Serialize>(
        &self,
        answer: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), CliError> {
        match self.output {
            Output::Text => self.screen.block(&text(answer)),
            Output::Json => {
                let json = serde_json::to_string_pretty(answer).map_err(CliError::Json)?;
                self.screen.line(&json)
            }
        }
    }
}

fn read_token(path: &Path) -> Result<SecretString, CliError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| CliError::TokenFile { path: path.to_owned(), source })?;
    let token = text.trim();
    if token.is_empty() || token.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(CliError::Token { path: path.to_owned() });
    }
    Ok(token.into())
}
