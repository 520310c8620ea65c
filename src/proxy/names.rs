//! What a colour of a service is called in a proxy and beside it.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::model::{Colour, ServiceName};

/// The backend or upstream of a colour: `books-blue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BackendName<'a>(pub &'a ServiceName, pub Colour);

impl fmt::Display for BackendName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.as_str(), self.1.as_str())
    }
}

impl Serialize for BackendName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The flag file that makes a colour live in nginx: `books.blue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FlagName<'a>(pub &'a ServiceName, pub Colour);

impl fmt::Display for FlagName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.as_str(), self.1.as_str())
    }
}

/// The name of the backend or upstream of `colour`.
pub(crate) fn backend_name(service: &ServiceName, colour: Colour) -> String {
    BackendName(service, colour).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_called_as_the_swarm_service_that_runs_it() {
        let service: ServiceName = "books-ms".parse().unwrap();
        for colour in Colour::BOTH {
            assert_eq!(backend_name(&service, colour), service.swarm_name(colour));
        }
        assert_eq!(FlagName(&service, Colour::Green).to_string(), "books-ms.green");
    }
}
