use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::routing::RuleError;
use super::secret;
use super::template::{Fault, Source, Unreadable};
use crate::deploy::ports::{PortError, Trouble};
use crate::model::{Colour, ServiceName};

/// Something about a proxy did not work.
#[derive(Debug, thiserror::Error)]
#[allow(private_interfaces, reason = "callers match on the variant, not on its parts")]
#[non_exhaustive]
pub enum Error {
    /// The settings make no sense.
    #[error("the settings of proxy `{proxy}` are not complete: {}", problems.join("; "))]
    Settings {
        /// The proxy.
        proxy: String,
        /// What is wrong, one line each.
        problems: Vec<String>,
    },
    /// A template file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The template is at fault.
    #[error("template {0}")]
    Template(Fault),
    /// The rule cannot be put into force.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// There is no certificate for a host that is to be served on TLS.
    #[error("no certificate in `{}` is for host `{host}`", directory.display())]
    NoCertificate {
        /// The host.
        host: String,
        /// Where certificates are looked for.
        directory: PathBuf,
        /// The names that there are certificates for.
        known: Vec<String>,
    },
    /// A command cannot be run.
    #[error("cannot run `{command}`")]
    Run {
        /// The command line.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A command did not end in time.
    #[error("`{command}` did not end within {}", humantime::format_duration(*limit))]
    TooSlow {
        /// The command line.
        command: String,
        /// How long it was given.
        limit: Duration,
    },
    /// The proxy's own checker refuses the configuration.
    #[error("the proxy's checker refuses the configuration: {}", words.first().map_or("it says nothing", String::as_str))]
    Refused {
        /// The command line.
        command: String,
        /// What the checker said.
        words: Vec<String>,
    },
    /// A file or directory cannot be written or read.
    #[error("cannot {act} `{}`", path.display())]
    File {
        /// What was tried: `write`, `read`, …
        act: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The proxy does not run, or not where it is looked for.
    #[error("the proxy does not run: {why}")]
    NotRunning {
        /// How that was seen.
        why: String,
    },
    /// An address that the configuration listens on belongs to somebody else.
    #[error("the proxy cannot listen on {address}: it is taken")]
    Taken {
        /// The address.
        address: SocketAddr,
    },
    /// A reload was ordered and the proxy did not take the configuration over.
    #[error("the proxy did not take the configuration over, though its check passed: {why}")]
    NotTaken {
        /// What was seen instead.
        why: String,
        /// What the proxy logged meanwhile.
        words: Vec<String>,
    },
    /// A socket of the proxy does not answer.
    #[error("cannot talk to socket `{}`", path.display())]
    Socket {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The proxy refused a command of its runtime interface.
    #[error("the proxy answered `{answer}` to `{command}`")]
    Command {
        /// The command.
        command: String,
        /// The answer.
        answer: String,
    },
    /// The running proxy does not have what it was given.
    #[error("the running proxy does not have {what}")]
    Missing {
        /// What is missing.
        what: String,
    },
    /// Requests are not answered as they should be.
    #[error("not proved: {why}")]
    Unproved {
        /// The last answers, by listener.
        why: String,
    },
    /// Nothing is known of the service.
    #[error("service `{0}` was not staged")]
    Unknown(ServiceName),
    /// The colour has no instances to get the traffic.
    #[error("no instance of `{service}` is staged as {colour}")]
    Empty {
        /// The service.
        service: ServiceName,
        /// The colour.
        colour: Colour,
    },
    /// What can be asked for depends on a setting.
    #[error("`{setting}` is not configured")]
    NotConfigured {
        /// Its name.
        setting: &'static str,
    },
    /// What a keeper knew of its proxy makes no sense any more.
    #[error("what is known of the proxy cannot be read from `{}`", path.display())]
    Forgotten {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Nobody can say which services a proxy has, which serves some.
    #[error("nobody can say which services proxy `{proxy}` has, whose configuration `{}` was rendered before", path.display())]
    Unremembered {
        /// The proxy.
        proxy: String,
        /// Its configuration.
        path: PathBuf,
        /// Why the registry does not say, either.
        #[source]
        source: Box<PortError>,
    },
    /// Another keeper of the same proxy does not end.
    #[error("another keeper of this proxy holds `{}`", path.display())]
    Kept {
        /// Its lock.
        path: PathBuf,
    },
    /// The keeper has ended.
    #[error("the keeper has ended")]
    Ended,
    /// The same, for another caller of the same batch.
    #[error("{0}")]
    Shared(std::sync::Arc<Error>),
}

impl Error {
    /// The kind of trouble that this is to a deployment.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::NotRunning { .. } | Self::Socket { .. } | Self::Ended => Trouble::Unreachable,
            Self::Rule(RuleError::Taken { .. }) => Trouble::Conflict,
            Self::Settings { .. }
            | Self::Unreadable(_)
            | Self::Template(_)
            | Self::Rule(_)
            | Self::NoCertificate { .. }
            | Self::Refused { .. }
            | Self::NotConfigured { .. } => Trouble::Invalid,
            Self::Unknown(_) => Trouble::NotFound,
            Self::Shared(error) => error.trouble(),
            _ => Trouble::Other,
        }
    }

    /// Whether one of several services may be to blame, rather than the proxy as a whole.
    pub(crate) fn may_be_one(&self) -> bool {
        match self {
            Self::Template(_)
            | Self::Refused { .. }
            | Self::NotTaken { .. }
            | Self::Taken { .. }
            | Self::Missing { .. }
            | Self::Unproved { .. } => true,
            Self::Shared(error) => error.may_be_one(),
            _ => false,
        }
    }

    /// Without `secret`, which stands in a configuration and so in what is said of it.
    pub(crate) fn without(mut self, secret: &str) -> Self {
        if let Self::Refused { words, .. } | Self::NotTaken { words, .. } = &mut self {
            words.iter_mut().for_each(|line| *line = secret::concealed(line, secret));
        }
        self
    }

    /// What the checker said of `rendered`, which it was shown as `file`, said of the template.
    pub(crate) fn traced(mut self, source: &Source, file: &Path, rendered: &str) -> Self {
        if let Self::Refused { words, .. } = &mut self {
            let file = file.display().to_string();
            *words = source.trace(std::mem::take(words), &file, rendered);
        }
        self
    }

    /// The same of a command that is told as it was `written`.
    pub(crate) fn of_command(mut self, written: &str) -> Self {
        if let Self::Run { command, .. } | Self::TooSlow { command, .. } = &mut self {
            written.clone_into(command);
        }
        self
    }

    /// Further lines worth showing, without what the error itself says.
    #[must_use]
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Template(fault) => fault.further(),
            Self::Refused { words, .. } => words.iter().skip(1).cloned().collect(),
            Self::NotTaken { words, .. } => words.clone(),
            Self::NoCertificate { known, .. } if !known.is_empty() => {
                vec![format!("there are certificates for: {}", known.join(", "))]
            }
            Self::Shared(error) => error.details(),
            _ => Vec::new(),
        }
    }

    /// What to do about it, when that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let words = match self {
            Self::Template(fault) => return Some(format!("correct {}", fault.at)),
            Self::NoCertificate { host, directory, .. } => {
                return Some(format!(
                    "put a PEM file with certificate and key for `{host}` into `{}`, or set `route.tls: false`",
                    directory.display()
                ));
            }
            Self::Shared(error) => return error.remedy(),
            Self::Unreadable(_) => {
                "check `template` in the configuration, and the file's permissions"
            }
            Self::Run { .. } => "check the command in the configuration: is the program installed?",
            Self::Refused { .. } => {
                "correct the template; `verdigris render` shows what it renders"
            }
            Self::NotRunning { .. } | Self::Socket { .. } => {
                "start the proxy, and compare `pid_file`, `status` and the sockets in the configuration with its own"
            }
            Self::Taken { .. } => "stop whatever listens there, or change the address",
            Self::NotTaken { .. } => {
                "look into the proxy's error log: a port may be taken, a file unreadable"
            }
            Self::Unproved { .. } => {
                "check that the proxy's host reaches the instances (firewall, networks), and that the proxy may read its flags or map"
            }
            Self::NotConfigured { .. } => "set it in the configuration",
            Self::Forgotten { .. } => {
                "put the file back from a copy; without it, the proxy would begin with no service at all until each is led there again"
            }
            Self::Unremembered { .. } => {
                "start again once the registry answers, or put the state directory back; without either, the proxy would lose every service (if it has none, remove its configuration)"
            }
            Self::Kept { .. } => {
                "stop the other daemon, or give each proxy a name and each daemon a state directory of its own"
            }
            _ => return None,
        };
        Some(words.to_owned())
    }

    /// As a port's error: `operation` failed because of this.
    #[must_use]
    pub fn into_port(self, operation: impl Into<String>) -> PortError {
        let remedy = self.remedy();
        let mut error = PortError::new(self.trouble(), operation);
        error.details = self.details();
        error.remedy = remedy;
        error.because(self)
    }

    /// The whole chain in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            line.push_str(": ");
            line.push_str(&error.to_string());
            next = error.source();
        }
        line
    }
}

/// What an operation on a proxy answers.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
