use std::error::Error;
use std::fmt;

/// Which kind of trouble a port met; decides the exit code and whether trying again makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Nobody answers, or the answer says that it is passing (no leader, engine restarting).
    Unreachable,
    /// The thing does not exist.
    NotFound,
    /// Somebody else changed it meanwhile.
    Conflict,
    /// Another daemon is responsible for the service now, or was meanwhile: what this one meant to do
    /// with it is out of date.
    Superseded,
    /// Credentials are missing or not sufficient.
    Denied,
    /// What was asked for can never work.
    Invalid,
    /// Anything else.
    Other,
}

/// What an error comes from, where that decides what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The registry, or the leases that it keeps.
    Registry,
    /// A proxy.
    Proxy,
    /// The daemon's own journal.
    Journal,
}

/// An operation behind a port failed.
#[derive(Debug, thiserror::Error)]
pub struct PortError {
    /// What was tried, as a phrase: `` update Swarm service `books-ms-green` ``.
    pub operation: String,
    /// The kind of trouble.
    pub trouble: Trouble,
    /// What it comes from, once somebody who knows has said so.
    pub origin: Option<Origin>,
    /// What to do about it, when that is known.
    pub remedy: Option<String>,
    /// Further lines worth showing: a checker's output, an engine's words.
    pub details: Vec<String>,
    /// What lies beneath.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}", self.operation)
    }
}

impl PortError {
    /// `operation` met `trouble`.
    pub fn new(trouble: Trouble, operation: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            trouble,
            origin: None,
            remedy: None,
            details: Vec::new(),
            source: None,
        }
    }

    /// Which comes from `origin`.
    #[must_use]
    pub fn of(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// With what lies beneath.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// With the way out.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The whole chain in one line: `cannot X: Y: Z`.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next = self.source();
        while let Some(error) = next {
            line.push_str(": ");
            line.push_str(&error.to_string());
            next = error.source();
        }
        line
    }
}

/// What a port's operation answers.
pub type PortResult<T> = Result<T, PortError>;
