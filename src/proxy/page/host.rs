//! A host name with its routes, as a template for nginx sees it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::AtRunTime;
use crate::model::{Colour, ServiceName};
use crate::proxy::certificates::{Certificate, Certificates};
use crate::proxy::names::{BackendName, FlagName};
use crate::proxy::roster::Roster;
use crate::proxy::routing::{Choice, Claim, Entries};

#[derive(Debug, Hash, Serialize)]
pub(super) struct HostPage<'a> {
    name: &'a str,
    certificate: Option<&'a Certificate>,
    has_root: bool,
    routes: Vec<RoutePage<'a>>,
}

impl<'a> HostPage<'a> {
    pub fn new(
        host: &'a str,
        claims: &[Claim<'a>],
        routes: &Routes<'a>,
        certificates: &'a Certificates,
    ) -> Self {
        let tls = claims.iter().any(|claim| claim.tls);
        Self {
            name: host,
            certificate: tls.then(|| certificates.for_host(host)).flatten(),
            has_root: claims.iter().any(|claim| claim.path.is_empty()),
            routes: claims.iter().map(|claim| routes.page(claim)).collect(),
        }
    }
}

#[derive(Debug, Hash, Serialize)]
struct RoutePage<'a> {
    service: &'a str,
    path: &'a str,
    tls: bool,
    /// One of the choices is not answered on TLS.
    plain: bool,
    /// nginx locations that match the prefix in whole segments.
    locations: Locations<'a>,
    /// Backend of the live colour; empty when there is none.
    default: AtRunTime<Default<'a>>,
    /// What the flags decide.
    choices: Vec<ChoicePage<'a>>,
    /// Status when nothing was decided.
    otherwise: AtRunTime<u16>,
}

#[derive(Debug, Hash, Serialize)]
struct ChoicePage<'a> {
    flag: FlagPath<'a>,
    backend: BackendName<'a>,
    tls: bool,
}

/// What routes are made from.
pub(super) struct Routes<'a> {
    entries: &'a Entries,
    rosters: BTreeMap<&'a ServiceName, Roster>,
    flags: &'a str,
}

impl<'a> Routes<'a> {
    /// The routes to `entries`, decided by flags in the directory `flags`.
    pub fn new(entries: &'a Entries, flags: &'a str) -> Self {
        let rosters = entries.iter().map(|(service, entry)| (service, Roster::of(entry)));
        Self { entries, rosters: rosters.collect(), flags }
    }

    fn page(&self, claim: &Claim<'a>) -> RoutePage<'a> {
        let lives = |choice: &&Choice<'a>| self.live(choice.service) == Some(choice.colour);
        let served = |choice: &&Choice<'a>| {
            let entry = self.entries.get(choice.service);
            entry.is_some_and(|entry| !entry.view.of(choice.colour).is_empty())
        };
        let decided = claim.choices.iter().rfind(lives);
        let waits = claim.choices.iter().any(|choice| self.live(choice.service).is_none());
        let backend = |choice: &Choice<'a>| BackendName(choice.service, choice.colour);
        let choice = |choice: &Choice<'a>| {
            let (service, colour) = (choice.service, choice.colour);
            let name = FlagName { service, roster: *self.rosters.get(service)?, colour };
            let flag = FlagPath { directory: self.flags, name };
            Some(ChoicePage { flag, backend: backend(choice), tls: choice.tls })
        };
        RoutePage {
            service: claim.service.as_str(),
            path: if claim.path.is_empty() { "/" } else { claim.path },
            tls: claim.tls,
            plain: claim.choices.iter().filter(served).any(|choice| !choice.tls),
            locations: Locations(claim.path),
            default: AtRunTime(Default(decided.filter(served).map(backend))),
            choices: claim.choices.iter().filter(served).filter_map(choice).collect(),
            otherwise: AtRunTime(if decided.is_some() || waits { 503 } else { 421 }),
        }
    }

    fn live(&self, service: &ServiceName) -> Option<Colour> {
        self.entries.get(service)?.view.live
    }
}

/// The backend that serves where no flag says otherwise.
#[derive(Debug)]
struct Default<'a>(Option<BackendName<'a>>);

impl Serialize for Default<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(backend) => backend.serialize(serializer),
            None => serializer.serialize_str(""),
        }
    }
}

/// The locations of a prefix.
#[derive(Debug, Hash)]
struct Locations<'a>(&'a str);

impl Serialize for Locations<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            "" => serializer.collect_seq(["/"]),
            path => serializer.collect_seq([format!("= {path}"), format!("{path}/")]),
        }
    }
}

/// Where a flag is.
#[derive(Debug, Hash)]
struct FlagPath<'a> {
    directory: &'a str,
    name: FlagName<'a>,
}

impl fmt::Display for FlagPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.directory, self.name)
    }
}

impl Serialize for FlagPath<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
