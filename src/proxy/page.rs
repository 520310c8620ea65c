//! What a template sees: pure, and the same for the same services.
//!
//! A page borrows from the services and makes no text of its own: names and addresses become text
//! when they are rendered. It is also what a configuration is known by: its hash leaves out what is
//! changed without a reload.

mod host;
mod service;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use serde::Serialize;

use super::certificates::Certificates;
use super::routing::{self, Entries, Entry};
use super::settings::{Kind, Settings};
use super::template::Asks;
use host::{HostPage, Routes};
use service::{Detail, ServicePage, Spares};

/// Everything that a template can use.
#[derive(Debug, Hash, Serialize)]
pub(crate) struct Page<'a> {
    /// The proxy's settings.
    proxy: ProxyPage<'a>,
    /// Names the configuration: served by the private listener.
    generation: AtRunTime<String>,
    /// The header that asks for proof.
    probe: ProbePage<'a>,
    /// All services, by name.
    services: Vec<ServicePage<'a>>,
    /// The same by host name, as nginx wants them.
    hosts: Vec<HostPage<'a>>,
    /// Figures that grow with the number of services.
    sizes: Sizes,
}

#[derive(Debug, Hash, Serialize)]
struct ProxyPage<'a> {
    name: &'a str,
    kind: &'a str,
    http: Option<String>,
    https: Option<String>,
    status: String,
    flags: Option<&'a str>,
    map: Option<&'a str>,
    pid_file: Option<&'a str>,
    runtime_socket: Option<&'a str>,
    certificates: Option<&'a str>,
    user: Option<&'a str>,
    /// Socket that takes one datagram per answer (nginx).
    answers: Option<&'a str>,
}

#[derive(Debug, Hash, Serialize)]
struct ProbePage<'a> {
    header: &'a str,
    value: &'a str,
}

#[derive(Debug, Hash, Serialize)]
struct Sizes {
    server_names: usize,
}

/// What is changed without a reload, and so is no part of what a page is known by.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct AtRunTime<T>(T);

impl<T> Hash for AtRunTime<T> {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

/// What a page is made from.
pub(crate) struct Sources<'a> {
    pub settings: &'a Settings,
    pub answers: Option<&'a str>,
    pub probe: (&'a str, &'a str),
    pub certificates: &'a Certificates,
}

impl<'a> Page<'a> {
    /// The page for `entries`, as far as the template asks for it and without a generation. `slots`
    /// says how many server slots each backend has.
    pub fn new(
        sources: &Sources<'a>,
        entries: &'a Entries,
        asks: Asks,
        slots: &dyn Fn(&Entry) -> usize,
    ) -> Self {
        let settings = sources.settings;
        // `HAProxy` has rules in its map.
        let rules = asks.rules || settings.kind == Kind::Nginx;
        let table = if rules { routing::table(entries) } else { BTreeMap::new() };
        let slots = |entry: &Entry| if asks.slots { slots(entry) } else { 0 };
        let spares = Rc::new(Spares::new(entries.values().map(|entry| slots(entry))));
        let detail = Detail { kind: settings.kind, asks };
        let routes = Routes::new(entries, text(settings.flags.as_ref()).unwrap_or_default());
        Self {
            proxy: ProxyPage::new(sources),
            generation: AtRunTime(String::new()),
            probe: ProbePage { header: sources.probe.0, value: sources.probe.1 },
            sizes: Sizes { server_names: (table.len() * 4).next_power_of_two().max(1024) },
            hosts: table
                .into_iter()
                .map(|(host, claims)| HostPage::new(host, &claims, &routes, sources.certificates))
                .collect(),
            services: entries
                .values()
                .map(|entry| ServicePage::new(entry, detail, slots(entry), &spares))
                .collect(),
        }
    }

    /// With the name of the configuration.
    pub fn named(mut self, generation: &str) -> Self {
        generation.clone_into(&mut self.generation.0);
        self
    }
}

impl<'a> ProxyPage<'a> {
    fn new(sources: &Sources<'a>) -> Self {
        let settings = sources.settings;
        Self {
            name: &settings.name,
            kind: settings.kind.as_str(),
            http: settings.http.map(|address| address.to_string()),
            https: settings.https.map(|address| address.to_string()),
            status: settings.status.to_string(),
            flags: text(settings.flags.as_ref()),
            map: text(settings.map.as_ref()),
            pid_file: text(settings.pid_file.as_ref()),
            runtime_socket: text(settings.runtime_socket.as_ref()),
            // `HAProxy` warns of a directory that has none.
            certificates: text(settings.certificates.as_ref())
                .filter(|_| !sources.certificates.all.is_empty()),
            user: settings.user.as_deref(),
            answers: sources.answers,
        }
    }
}

/// Settings are validated to hold UTF-8 paths.
fn text(path: Option<&std::path::PathBuf>) -> Option<&str> {
    path.and_then(|path| path.to_str())
}
