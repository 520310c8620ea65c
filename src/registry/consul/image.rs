//! A service's record as it stands in Consul, and back.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize};

use super::layout::{self, Layout, Leaf};
use crate::model::{
    Colour, Instance, Registration, ReleaseId, ServiceName, ServiceRecord, Standing,
};

const MANAGED_BY: &str = "managed-by";
const VERDIGRIS: &str = "verdigris";

/// An instance in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Entry {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) service: String,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) tags: Vec<String>,
    pub(super) address: String,
    // Wider than a port: entries that are not ours may hold anything and must not break the list.
    pub(super) port: i64,
    #[serde(default, deserialize_with = "or_null")]
    pub(super) meta: BTreeMap<String, String>,
}

/// A service's instance as the health endpoint lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Member {
    pub(super) node: Node,
    pub(super) service: Entry,
}

/// The node of a [`Member`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node {
    pub(super) node: String,
}

/// A node's instances as the catalog lists them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    #[serde(default, deserialize_with = "or_null")]
    pub(super) services: BTreeMap<String, Entry>,
}

/// A key with its value.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pair {
    pub(super) key: String,
    #[serde(default, deserialize_with = "bytes")]
    pub(super) value: Vec<u8>,
    pub(super) modify_index: u64,
    /// Who has locked it.
    #[serde(default)]
    pub(super) session: Option<String>,
}

fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    STANDARD.decode(text.unwrap_or_default()).map_err(serde::de::Error::custom)
}

/// All that Consul holds of one service and that is ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// By id.
    pub(super) entries: BTreeMap<String, Entry>,
    /// Values by key.
    pub(super) keys: BTreeMap<String, Vec<u8>>,
}

/// An [`Image`] as read, with what is needed to change only that.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) image: Image,
    /// At which index of Consul's each key was last changed.
    pub(super) indices: BTreeMap<String, u64>,
}

impl Held {
    /// Of what was found, leaving aside what is not ours.
    pub(super) fn new(
        entries: impl IntoIterator<Item = Entry>,
        pairs: impl IntoIterator<Item = Pair>,
    ) -> Self {
        let mut held = Self { image: Image::default(), indices: BTreeMap::new() };
        for entry in entries.into_iter().filter(Entry::is_ours) {
            held.image.entries.insert(entry.id.clone(), entry);
        }
        for pair in pairs {
            held.indices.insert(pair.key.clone(), pair.modify_index);
            held.image.keys.insert(pair.key, pair.value);
        }
        held
    }
}

/// The images of all services that something is held of.
pub(super) fn by_service(
    layout: &Layout,
    entries: impl IntoIterator<Item = Entry>,
    pairs: Vec<Pair>,
) -> BTreeMap<ServiceName, Image> {
    let mut images: BTreeMap<ServiceName, Image> = BTreeMap::new();
    for entry in entries.into_iter().filter(Entry::is_ours) {
        if let Ok(service) = entry.service.parse() {
            let image = images.entry(service).or_default();
            image.entries.insert(entry.id.clone(), entry);
        }
    }
    for pair in pairs {
        if let Some((service, _)) = layout.leaf(&pair.key) {
            let image = images.entry(service).or_default();
            image.keys.insert(pair.key, pair.value);
        }
    }
    images
}

/// A key of ours holds something that was not written by Verdigris.
#[derive(Debug, thiserror::Error)]
#[error("key `{key}` is not understood: {problem}")]
pub(super) struct Unreadable {
    pub(super) key: String,
    problem: String,
}

impl Image {
    pub(super) fn encode(
        layout: &Layout,
        service: &ServiceName,
        record: &ServiceRecord,
    ) -> serde_json::Result<Self> {
        let entries = record.instances.values().map(|registration| {
            let entry = Entry::of(service, registration);
            (entry.id.clone(), entry)
        });
        let mut keys = BTreeMap::new();
        if let Some(colour) = record.colour {
            // Bare, without a line end: scripts compare it.
            keys.insert(layout.colour(service), colour.as_str().into());
        }
        if let Some(route) = &record.route {
            keys.insert(layout.route(service), serde_json::to_vec(route)?);
        }
        Ok(Self { entries: entries.collect(), keys })
    }

    /// An entry that is not understood (somebody has edited it) is left out and logged; the next write
    /// removes it.
    pub(super) fn decode(
        &self,
        layout: &Layout,
        service: &ServiceName,
    ) -> Result<ServiceRecord, Unreadable> {
        let mut record = ServiceRecord::default();
        for entry in self.entries.values() {
            match entry.registration() {
                Ok(registration) => {
                    let task = registration.instance.task.clone();
                    record.instances.insert(task, registration);
                }
                Err(problem) => {
                    tracing::warn!(%service, id = entry.id, problem, "not understood in Consul");
                }
            }
        }
        for (key, value) in &self.keys {
            let unreadable = |problem| Unreadable { key: key.clone(), problem };
            match layout.leaf(key) {
                Some((_, Leaf::Colour)) => record.colour = Some(colour(value).map_err(unreadable)?),
                Some((_, Leaf::Route)) => {
                    let route = serde_json::from_slice(value);
                    record.route = Some(route.map_err(|error| unreadable(error.to_string()))?);
                }
                None => {}
            }
        }
        Ok(record)
    }
}

/// People who put the word there by hand may leave a line end.
fn colour(value: &[u8]) -> Result<Colour, String> {
    let text = String::from_utf8_lossy(value);
    let colour: Result<Colour, _> = text.trim_end().parse();
    colour.map_err(|error| error.to_string())
}

impl Entry {
    fn of(service: &ServiceName, registration: &Registration) -> Self {
        let Registration { instance, colour, standing, release, image } = registration;
        let meta = [
            (MANAGED_BY, VERDIGRIS),
            ("colour", colour.as_str()),
            ("release", release.as_str()),
            ("image", image),
            ("node", &instance.node),
            ("task", &instance.task),
        ];
        Self {
            id: layout::id(service, *colour, &instance.task),
            service: service.to_string(),
            tags: vec![colour.to_string(), standing.as_str().to_owned()],
            address: instance.address.ip().to_string(),
            port: instance.address.port().into(),
            meta: meta.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        }
    }

    /// Verdigris made it.
    fn is_ours(&self) -> bool {
        self.meta.get(MANAGED_BY).is_some_and(|name| name == VERDIGRIS)
    }

    fn registration(&self) -> Result<Registration, String> {
        let colour = self.meta("colour")?;
        Ok(Registration {
            instance: Instance {
                task: self.meta("task")?.to_owned(),
                node: self.meta("node")?.to_owned(),
                address: self.socket()?,
            },
            colour: colour.parse().map_err(|_| format!("colour `{colour}`"))?,
            standing: self.standing()?,
            release: ReleaseId::from(self.meta("release")?.to_owned()),
            image: self.meta("image")?.to_owned(),
        })
    }

    fn meta(&self, key: &str) -> Result<&str, String> {
        let value = self.meta.get(key).map(String::as_str);
        value.ok_or_else(|| format!("no meta `{key}`"))
    }

    fn socket(&self) -> Result<SocketAddr, String> {
        let ip: Result<IpAddr, _> = self.address.parse();
        let ip = ip.map_err(|_| format!("address `{}`", self.address))?;
        let port = u16::try_from(self.port).map_err(|_| format!("port {}", self.port))?;
        Ok(SocketAddr::new(ip, port))
    }

    fn standing(&self) -> Result<Standing, String> {
        let tagged = |standing: Standing| self.tags.iter().any(|tag| tag == standing.as_str());
        match (tagged(Standing::Live), tagged(Standing::Idle)) {
            (true, false) => Ok(Standing::Live),
            (false, true) => Ok(Standing::Idle),
            _ => Err(format!("tags {:?}", self.tags)),
        }
    }
}
