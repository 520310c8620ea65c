//! A service with the instances of its colours, as a template sees them.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use tera::Value;

use super::AtRunTime;
use crate::model::{Backend, Colour};
use crate::proxy::names::BackendName;
use crate::proxy::routing::Entry;
use crate::proxy::settings::Kind;
use crate::proxy::template::Asks;

/// Where a slot without an instance points; it is disabled, and nothing listens there.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

#[derive(Debug, Hash, Serialize)]
pub(super) struct ServicePage<'a> {
    name: &'a str,
    hosts: &'a [String],
    path: &'a str,
    tls: bool,
    live: AtRunTime<Option<Colour>>,
    colours: [ColourPage<'a>; 2],
}

#[derive(Debug, Hash, Serialize)]
struct ColourPage<'a> {
    name: Colour,
    backend: BackendName<'a>,
    live: AtRunTime<bool>,
    servers: Servers<'a>,
    slots: Slots<'a>,
}

/// What a page shows of each service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Detail {
    pub kind: Kind,
    pub asks: Asks,
}

impl<'a> ServicePage<'a> {
    pub fn new(entry: &'a Entry, detail: Detail, slots: usize, spares: &Rc<Spares>) -> Self {
        let view = &entry.view;
        let rule = detail.asks.rules.then_some(&view.rule);
        let colour = |colour| {
            let backends = view.of(colour);
            ColourPage {
                name: colour,
                backend: BackendName(&view.service, colour),
                live: AtRunTime(view.live == Some(colour)),
                servers: Servers(if detail.asks.servers { backends } else { &[] }),
                slots: Slots {
                    backends,
                    count: slots,
                    // `HAProxy` takes them at run time.
                    fixed: detail.kind == Kind::Nginx,
                    spares: spares.clone(),
                },
            }
        };
        Self {
            name: view.service.as_str(),
            hosts: rule.map_or(&[], |rule| rule.hosts.as_slice()),
            path: rule.map_or("", |rule| rule.path.as_str()),
            tls: rule.is_some_and(|rule| rule.tls),
            live: AtRunTime(view.live),
            colours: Colour::BOTH.map(colour),
        }
    }
}

/// The instances of a colour, in order.
#[derive(Debug)]
struct Servers<'a>(&'a [Backend]);

#[derive(Serialize)]
struct ServerPage {
    name: ServerName,
    address: SocketAddr,
}

impl Serialize for Servers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let server = |(index, backend): (usize, &Backend)| ServerPage {
            name: ServerName(index),
            address: backend.address,
        };
        serializer.collect_seq(self.0.iter().enumerate().map(server))
    }
}

impl Hash for Servers<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.len().hash(state);
        self.0.iter().for_each(|backend| backend.address.hash(state));
    }
}

/// The server slots of a colour: its instances, then spare ones.
#[derive(Debug)]
struct Slots<'a> {
    backends: &'a [Backend],
    count: usize,
    /// Their addresses are those of the file until a reload.
    fixed: bool,
    spares: Rc<Spares>,
}

#[derive(Serialize)]
struct SlotPage {
    name: ServerName,
    address: SocketAddr,
    spare: bool,
}

impl Serialize for Slots<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let used = self.backends.iter().take(self.count);
        if let (0, Some(list)) = (used.len(), self.spares.lists.get(&self.count)) {
            return list.serialize(serializer);
        }
        let mut slots = serializer.serialize_seq(Some(self.count))?;
        for (index, backend) in used.clone().enumerate() {
            let address = backend.address;
            slots.serialize_element(&SlotPage {
                name: ServerName(index),
                address,
                spare: false,
            })?;
        }
        let spares = self.spares.slots.iter().take(self.count).skip(used.len());
        spares.into_iter().try_for_each(|spare| slots.serialize_element(spare))?;
        slots.end()
    }
}

impl Hash for Slots<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.count.hash(state);
        if self.fixed && self.count > 0 {
            Servers(self.backends).hash(state);
        }
    }
}

/// Spare slots, made once: in a page of many services most slots are spare, and they are the same in
/// every colour.
#[derive(Debug)]
pub(super) struct Spares {
    slots: Vec<Value>,
    /// By length.
    lists: BTreeMap<usize, Value>,
}

impl Spares {
    /// Enough for colours with so many slots.
    pub fn new(counts: impl Iterator<Item = usize>) -> Self {
        let mut lists: BTreeMap<usize, Value> =
            counts.map(|count| (count, Value::none())).collect();
        let most = lists.keys().next_back().copied().unwrap_or_default();
        let spare = |index| SlotPage { name: ServerName(index), address: NOWHERE, spare: true };
        let slots: Vec<Value> =
            (0..most).map(|index| Value::from_serializable(&spare(index))).collect();
        for (count, list) in &mut lists {
            *list = Value::from(slots[..*count].to_vec());
        }
        Self { slots, lists }
    }
}

/// The name of the server with an index: `s1` for the first.
struct ServerName(usize);

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0 + 1)
    }
}

impl Serialize for ServerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
