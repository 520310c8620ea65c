//! What a colour of a service is called in a proxy and beside it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::roster::Roster;
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

/// The flag file that makes a colour live in those nginx workers that know a service by a roster:
/// `books.1f0a6c1e52b7-000000000000.blue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FlagName<'a> {
    pub service: &'a ServiceName,
    pub roster: Roster,
    pub colour: Colour,
}

impl fmt::Display for FlagName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.service.as_str(), self.roster, self.colour.as_str())
    }
}

/// What the name of a flag file says; none where it is no flag.
pub(crate) fn flag(name: &str) -> Option<(ServiceName, Roster, Colour)> {
    let (rest, colour) = name.rsplit_once('.')?;
    let (service, roster) = rest.rsplit_once('.')?;
    Some((service.parse().ok()?, Roster::parse(roster)?, colour.parse().ok()?))
}

/// The name of the backend or upstream of `colour`.
pub(crate) fn backend_name(service: &ServiceName, colour: Colour) -> String {
    BackendName(service, colour).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::routing::tests::entries;

    #[test]
    fn a_backend_is_called_as_the_swarm_service_that_runs_it() {
        let service: ServiceName = "books-ms".parse().unwrap();
        for colour in Colour::BOTH {
            assert_eq!(backend_name(&service, colour), service.swarm_name(colour));
        }
    }

    #[test]
    fn a_flag_tells_by_its_name_what_it_is() {
        let service: ServiceName = "books-ms".parse().unwrap();
        let entries = entries(&[("books-ms", "/", None)]);
        let roster = Roster::of(&entries[&service]);
        let name = FlagName { service: &service, roster, colour: Colour::Green }.to_string();
        assert_eq!(name, "books-ms.000000000000-000000000000.green");
        assert_eq!(flag(&name), Some((service, roster, Colour::Green)));
        for other in ["books-ms.green", "books-ms.0-0.green", "answers.sock", "readme"] {
            assert_eq!(flag(other), None, "{other}");
        }
    }
}
