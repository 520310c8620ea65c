use std::error::Error;
use std::io;
use std::path::PathBuf;

use crate::app::ServeError;
use crate::client::ClientError;
use crate::document::LoadError;
use crate::model::{DeploymentId, ExitCode, ServiceName};

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("cannot read token file `{}`", path.display())]
    TokenFile {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("token file `{}` does not hold one token and nothing else", path.display())]
    Token { path: PathBuf },
    #[error("{}", .0.trim_end().trim_start_matches("error: "))]
    Usage(String),
    #[error("`{0}` is neither a deployment nor a service")]
    NoReference(String),
    #[error("`{prefix}` could be any of {}", list(candidates))]
    Ambiguous { prefix: String, candidates: Vec<DeploymentId> },
    #[error("no deployment starts with `{0}`")]
    NoSuchPrefix(String),
    #[error("no deployment of `{0}` is under way")]
    NothingUnderWay(ServiceName),
    #[error("`{0}` was never deployed")]
    NeverDeployed(ServiceName),
    #[error("no colour of `{0}` is live")]
    NothingLive(ServiceName),
    #[error("lost deployment {deployment} out of sight")]
    OutOfSight {
        deployment: DeploymentId,
        #[source]
        source: Box<ClientError>,
    },
    #[error("{signal} came before the daemon had answered: it may still take the request")]
    Undecided { signal: &'static str, service: ServiceName },
    #[error("deployment {deployment} can no longer be aborted, and has not committed yet")]
    Committing { deployment: DeploymentId },
    #[error("cannot write the JUnit file `{}`", path.display())]
    Junit {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("proxy `{proxy}` would not take this: {problem}")]
    Rendering { proxy: String, problem: String },
    #[error("{0} of these would make deployments fail")]
    Unwell(usize),
    #[error("there is nothing to check here")]
    NothingToCheck,
    #[error("{0} of {1} files are wrong")]
    Wrong(usize, usize),
    #[error("cannot listen for signals")]
    Signals(#[source] io::Error),
    #[error("cannot start")]
    Runtime(#[source] io::Error),
    #[error("cannot write the answer")]
    Output(#[source] io::Error),
    #[error("cannot write the answer as JSON")]
    Json(#[source] serde_json::Error),
    #[error("the daemon cannot serve")]
    Serve(#[from] ServeError),
}

impl CliError {
    /// The exit code of the whole program.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Client(error) => error.exit_code(),
            Self::OutOfSight { source, .. } => source.exit_code(),
            Self::Rendering { .. } => ExitCode::Proxy,
            Self::Serve(error) if error.is_unreachable() => ExitCode::Unreachable,
            Self::Unwell(_) | Self::Undecided { .. } | Self::Committing { .. } => {
                ExitCode::Unreachable
            }
            Self::Load(_)
            | Self::Usage(_)
            | Self::TokenFile { .. }
            | Self::Token { .. }
            | Self::NoReference(_)
            | Self::Ambiguous { .. }
            | Self::NoSuchPrefix(_)
            | Self::NothingUnderWay(_)
            | Self::NeverDeployed(_)
            | Self::NothingLive(_)
            | Self::Serve(_)
            | Self::NothingToCheck
            | Self::Wrong(..)
            | Self::Junit { .. } => ExitCode::Invalid,
            Self::Signals(_) | Self::Runtime(_) | Self::Output(_) | Self::Json(_) => {
                ExitCode::Internal
            }
        }
    }

    /// What to do about it.
    pub(super) fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Client(error) => return error.remedy(),
            Self::Serve(error) => return error.remedy(),
            Self::OutOfSight { deployment, source } => {
                let follow = format!("follow it with `verdigris logs {deployment} --follow`");
                return Some(match source.remedy() {
                    Some(remedy) => format!("{remedy}; then {follow}"),
                    None => follow,
                });
            }
            Self::Committing { deployment } => {
                return Some(format!(
                    "how it ends is not known here: follow it with `verdigris logs {deployment} \
                     --follow`"
                ));
            }
            Self::Undecided { service, .. } => {
                return Some(format!("see with `verdigris history {service}`"));
            }
            Self::TokenFile { .. } => "name a readable file with `--token-file`",
            Self::Token { .. } => "write the token alone into it, on one line",
            Self::NoReference(_) => "give an id as `verdigris history` shows it, or a service",
            Self::Ambiguous { .. } => "give more of the id",
            Self::NoSuchPrefix(_) => "`verdigris history --limit 1000` shows the ids",
            Self::NothingUnderWay(_) => "`verdigris history` shows what ended, with its id",
            Self::NeverDeployed(_) => "`verdigris status` lists the services",
            Self::NothingLive(_) => "`verdigris status` shows where its first deployment stands",
            Self::Rendering { .. } => {
                "correct the template; until then the last good one stays in force"
            }
            Self::NothingToCheck => "name stack files, configurations or templates",
            Self::Unwell(_) => "do what stands beside each",
            Self::Junit { .. } => "name a file in a directory that exists and is writable",
            _ => return None,
        };
        Some(text.to_owned())
    }

    /// Further lines worth showing.
    pub(super) fn details(&self) -> &[String] {
        match self {
            Self::Client(ClientError::Refused(refusal)) => &refusal.details,
            _ => &[],
        }
    }

    /// The error and what lies beneath, in one line.
    pub(super) fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            let words = error.to_string();
            // Some sources say again what their cause says.
            if !line.contains(&words) {
                line.push_str(": ");
                line.push_str(&words);
            }
            next = error.source();
        }
        line
    }
}

fn list(ids: &[DeploymentId]) -> String {
    ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}
