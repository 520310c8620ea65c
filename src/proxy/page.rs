//! What a template sees: pure, and the same for the same services.

use std::collections::BTreeMap;

use serde::Serialize;

use super::certificates::{Certificate, Certificates};
use super::routing::{self, Claim, Entries, Entry, backend_name};
use super::settings::{Kind, Settings};
use super::template::Asks;
use crate::model::{Backend, Colour, ServiceName};

/// Everything that a template can use.
#[derive(Debug, Serialize)]
pub(crate) struct Page<'a> {
    /// The proxy's settings.
    proxy: ProxyPage<'a>,
    /// Names the configuration: served by the private listener.
    generation: &'a str,
    /// The header that asks for proof.
    probe: ProbePage<'a>,
    /// All services, by name.
    services: Vec<ServicePage<'a>>,
    /// The same by host name, as nginx wants them.
    hosts: Vec<HostPage<'a>>,
    /// Figures that grow with the number of services.
    sizes: Sizes,
}

#[derive(Debug, Serialize)]
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

#[derive(Debug, Serialize)]
struct ProbePage<'a> {
    header: &'a str,
    value: &'a str,
}

#[derive(Debug, Serialize)]
struct ServicePage<'a> {
    name: &'a str,
    hosts: &'a [String],
    path: &'a str,
    tls: bool,
    live: Option<Colour>,
    colours: Vec<ColourPage>,
}

#[derive(Debug, Serialize)]
struct ColourPage {
    name: Colour,
    backend: String,
    live: bool,
    servers: Vec<ServerPage>,
    slots: Vec<SlotPage>,
}

#[derive(Debug, Serialize)]
struct ServerPage {
    name: String,
    address: String,
}

#[derive(Debug, Serialize)]
struct SlotPage {
    name: String,
    address: String,
    spare: bool,
}

#[derive(Debug, Serialize)]
struct HostPage<'a> {
    name: &'a str,
    certificate: Option<&'a Certificate>,
    has_root: bool,
    routes: Vec<RoutePage<'a>>,
}

#[derive(Debug, Serialize)]
struct RoutePage<'a> {
    service: &'a str,
    path: String,
    tls: bool,
    /// nginx locations that match the prefix in whole segments.
    locations: Vec<String>,
    /// Backend of the live colour; empty when there is none.
    default: String,
    /// What the flags decide.
    choices: Vec<ChoicePage>,
    /// Status when nothing was decided.
    otherwise: u16,
}

#[derive(Debug, Serialize)]
struct ChoicePage {
    flag: String,
    backend: String,
}

#[derive(Debug, Serialize)]
struct Sizes {
    server_names: usize,
}

/// What a page is made from.
pub(crate) struct Sources<'a> {
    pub settings: &'a Settings,
    pub answers: Option<&'a str>,
    pub probe: (&'a str, &'a str),
    pub certificates: &'a Certificates,
}

/// How much of the services a page shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Detail {
    /// Which colour is live.
    live: bool,
    /// The addresses of instances.
    addresses: bool,
    asks: Asks,
}

impl Detail {
    /// Everything that the template asks for.
    pub fn full(asks: Asks) -> Self {
        Self { live: true, addresses: true, asks }
    }

    /// What is fixed until a reload.
    pub fn fixed(asks: Asks, kind: Kind) -> Self {
        // `HAProxy` has rules in its map, and addresses in its slots if the template has slots.
        let asks = match kind {
            Kind::Nginx => Asks { rules: true, ..asks },
            Kind::Haproxy => asks,
        };
        Self { live: false, addresses: asks.servers || !asks.slots, asks }
    }
}

impl<'a> Page<'a> {
    /// The page for `entries`, named `generation`. `slots` says how many server slots each backend has.
    pub fn new(
        sources: &Sources<'a>,
        entries: &'a Entries,
        generation: &'a str,
        detail: Detail,
        slots: &dyn Fn(&Entry) -> usize,
    ) -> Self {
        let flags = sources.settings.flags.as_ref().and_then(|path| path.to_str());
        let table = if detail.asks.rules { routing::table(entries) } else { BTreeMap::new() };
        let context = Context { entries, flags: flags.unwrap_or_default(), detail };
        Self {
            proxy: ProxyPage::new(sources),
            generation,
            probe: ProbePage { header: sources.probe.0, value: sources.probe.1 },
            sizes: Sizes { server_names: (table.len() * 4).next_power_of_two().max(1024) },
            hosts: table
                .into_iter()
                .map(|(host, claims)| HostPage {
                    name: host,
                    certificate: claims
                        .iter()
                        .any(|claim| claim.tls)
                        .then(|| sources.certificates.for_host(host))
                        .flatten(),
                    has_root: claims.iter().any(|claim| claim.path.is_empty()),
                    routes: claims.iter().map(|claim| context.route(claim)).collect(),
                })
                .collect(),
            services: entries
                .values()
                .map(|entry| ServicePage::new(entry, detail, slots(entry)))
                .collect(),
        }
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
            certificates: text(settings.certificates.as_ref()),
            user: settings.user.as_deref(),
            answers: sources.answers,
        }
    }
}

/// Settings are validated to hold UTF-8 paths.
fn text(path: Option<&std::path::PathBuf>) -> Option<&str> {
    path.and_then(|path| path.to_str())
}

impl<'a> ServicePage<'a> {
    fn new(entry: &'a Entry, detail: Detail, slots: usize) -> Self {
        let view = &entry.view;
        let colour = |colour| ColourPage::new(entry, colour, detail, slots);
        let rule = detail.asks.rules.then_some(&view.rule);
        Self {
            name: view.service.as_str(),
            hosts: rule.map_or(&[], |rule| rule.hosts.as_slice()),
            path: rule.map_or("", |rule| rule.path.as_str()),
            tls: rule.is_some_and(|rule| rule.tls),
            live: live_of(entry, detail),
            colours: Colour::BOTH.into_iter().map(colour).collect(),
        }
    }
}

fn live_of(entry: &Entry, detail: Detail) -> Option<Colour> {
    entry.view.live.filter(|_| detail.live)
}

/// Where a slot without an instance points; it is disabled, and nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

impl ColourPage {
    fn new(entry: &Entry, colour: Colour, detail: Detail, slots: usize) -> Self {
        let backends = if detail.addresses { entry.view.of(colour) } else { &[] };
        let servers = if detail.asks.servers { backends } else { &[] };
        let slots = if detail.asks.slots { slots } else { 0 };
        Self {
            name: colour,
            backend: backend_name(&entry.view.service, colour),
            live: live_of(entry, detail) == Some(colour),
            servers: servers.iter().enumerate().map(ServerPage::new).collect(),
            slots: (0..slots).map(|index| SlotPage::new(index, backends.get(index))).collect(),
        }
    }
}

impl ServerPage {
    fn new((index, backend): (usize, &Backend)) -> Self {
        Self { name: slot_name(index), address: backend.address.to_string() }
    }
}

impl SlotPage {
    fn new(index: usize, backend: Option<&Backend>) -> Self {
        let address = backend.map(|backend| backend.address.to_string());
        Self {
            name: slot_name(index),
            address: address.unwrap_or_else(|| NOWHERE.to_owned()),
            spare: backend.is_none(),
        }
    }
}

fn slot_name(index: usize) -> String {
    format!("s{}", index + 1)
}

struct Context<'a> {
    entries: &'a Entries,
    flags: &'a str,
    detail: Detail,
}

impl<'a> Context<'a> {
    fn route(&self, claim: &Claim<'a>) -> RoutePage<'a> {
        let lives =
            |choice: &&routing::Choice<'a>| self.live(choice.service) == Some(choice.colour);
        let served = |choice: &&routing::Choice<'a>| {
            let entry = self.entries.get(choice.service);
            entry.is_some_and(|entry| !entry.view.of(choice.colour).is_empty())
        };
        let decided = claim.choices.iter().rfind(lives);
        let waits = claim.choices.iter().any(|choice| self.live(choice.service).is_none());
        RoutePage {
            service: claim.service.as_str(),
            path: if claim.path.is_empty() { "/" } else { claim.path }.to_owned(),
            tls: claim.tls,
            locations: locations(claim.path),
            default: decided
                .filter(served)
                .map(|choice| backend_name(choice.service, choice.colour))
                .unwrap_or_default(),
            choices: claim
                .choices
                .iter()
                .filter(served)
                .map(|choice| ChoicePage {
                    flag: format!("{}/{}", self.flags, flag_name(choice.service, choice.colour)),
                    backend: backend_name(choice.service, choice.colour),
                })
                .collect(),
            otherwise: if decided.is_some() || waits { 503 } else { 421 },
        }
    }

    fn live(&self, service: &ServiceName) -> Option<Colour> {
        live_of(self.entries.get(service)?, self.detail)
    }
}

/// The flag file that makes `colour` live in nginx.
pub(crate) fn flag_name(service: &ServiceName, colour: Colour) -> String {
    format!("{service}.{colour}")
}

fn locations(path: &str) -> Vec<String> {
    if path.is_empty() {
        vec!["/".to_owned()]
    } else {
        vec![format!("= {path}"), format!("{path}/")]
    }
}

/// The lines of `HAProxy`'s map: routes to services, and `=service` to the live backend.
pub(crate) fn map_lines(entries: &Entries) -> BTreeMap<String, String> {
    let mut lines = BTreeMap::new();
    for entry in entries.values() {
        let view = &entry.view;
        let path = routing::prefix(&view.rule.path);
        for host in &view.rule.hosts {
            let mut put = |scheme| {
                lines.insert(format!("{scheme}:{host}{path}/"), view.service.to_string());
            };
            put("http");
            if view.rule.tls {
                put("https");
            }
        }
        if let Some(live) = view.live {
            lines.insert(format!("={}", view.service), backend_name(&view.service, live));
        }
    }
    lines
}
