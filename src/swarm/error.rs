use std::time::Duration;

use crate::deploy::ports::{PortError, Trouble};
use crate::docker::Error;

/// A Swarm service is not as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// One of its name is somebody else's, and is never touched.
    #[error("a Swarm service of this name was made by somebody else")]
    Foreign {
        /// Its name.
        name: String,
    },
    /// Its tasks do not stop.
    #[error("{} of its tasks did not stop within {}", tasks.len(), humantime::format_duration(*limit))]
    Hang {
        /// Each with its node and state.
        tasks: Vec<String>,
        /// How long it was waited.
        limit: Duration,
    },
    /// The engine could not be asked, or said no.
    #[error(transparent)]
    Engine(#[from] Error),
}

impl SwarmError {
    /// As an error of the port.
    pub fn during(self, operation: impl Into<String>) -> PortError {
        match self {
            Self::Engine(error) => error.during(operation),
            Self::Foreign { ref name } => {
                let remedy = format!(
                    "remove it with `docker service rm {name}`, or give one of the two another name"
                );
                PortError::new(Trouble::Invalid, operation).because(self).remedy(remedy)
            }
            Self::Hang { ref tasks, .. } => {
                let details = tasks.clone();
                let error = PortError::new(Trouble::Other, operation).because(self);
                let error = error.remedy(
                    "see `docker service ps` and the log of the node's engine; try again with the node mended or removed",
                );
                PortError { details, ..error }
            }
        }
    }
}
