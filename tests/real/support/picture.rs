//! An independent look at everything that a deployment can change: Docker, Consul or the embedded
//! registry's file, and the proxies' files. Nothing of the daemon is asked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::curl::{client, json, trusted};
use super::world::{Registry, World};

/// Everything as it stands: what it is about, and its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    parts: BTreeMap<String, String>,
}

impl Picture {
    /// Looks at all of it.
    pub async fn take(world: &World) -> Self {
        let mut parts = services(&world.bed.docker_socket()).await;
        for socket in world.bed.docker_sockets() {
            parts.extend(containers(&socket).await);
        }
        match world.registry {
            Registry::Consul => {
                parts.extend(consul(client(None), world.bed.env("CONSUL_HTTP_ADDR")).await);
            }
            Registry::SecureConsul => {
                let address = world.bed.env("TESTBED_SECURE_CONSUL");
                parts.extend(consul(trusted(&world.bed), address).await);
            }
            Registry::Embedded => parts.extend(embedded(&world.state().join("registry.db"))),
        }
        for proxy in world.proxy.names() {
            files(proxy, &world.bed.directory().join(proxy), &mut parts);
        }
        Self { parts }
    }

    /// One part of it, if there is such a part.
    pub fn part(&self, name: &str) -> Option<&str> {
        self.parts.get(name).map(String::as_str)
    }

    /// The parts whose names begin with `start`, with the rest of the name.
    pub fn parts<'a>(&'a self, start: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.parts.iter().filter_map(move |(n, text)| Some((n.strip_prefix(start)?, text.as_str())))
    }

    /// Without what another container of the same spec changes: services and what is not about a
    /// single instance remain.
    pub fn without_containers(&self) -> Self {
        let about_one = ["running ", "catalog ", "row instances ", "file "];
        let parts = self.parts.iter();
        let rest = parts.filter(|(name, _)| !about_one.iter().any(|start| name.starts_with(start)));
        Self { parts: rest.map(|(name, text)| (name.clone(), text.clone())).collect() }
    }

    /// Without the parts whose names begin with `start`.
    pub fn without(mut self, start: &str) -> Self {
        self.parts.retain(|name, _| !name.starts_with(start));
        self
    }

    /// Only the parts whose names `are_meant`.
    pub fn only(&self, are_meant: impl Fn(&str) -> bool) -> Self {
        let parts = self.parts.iter().filter(|(name, _)| are_meant(name));
        Self { parts: parts.map(|(name, text)| (name.clone(), text.clone())).collect() }
    }

    /// No test container is left, and what is registered is what runs.
    pub fn is_whole(&self) -> Result<(), String> {
        let left: Vec<_> = self.parts("test container ").collect();
        if !left.is_empty() {
            return Err(format!("test containers are left: {left:?}"));
        }
        let running = self.parts("running ").count();
        let registered =
            self.parts("catalog books-ms ").count() + self.parts("row instances ").count();
        if running != registered {
            return Err(format!("{running} containers run, {registered} are registered"));
        }
        Ok(())
    }

    /// What is different in `after`, readably, and in words that `scripts/test` knows for a failure that no
    /// busy machine excuses; empty when nothing is.
    pub fn compare(&self, after: &Self) -> String {
        match self.difference(after) {
            said if said.is_empty() => said,
            said => format!("not as before:\n{said}"),
        }
    }

    /// What is different in `after`, readably; empty when nothing is.
    pub fn difference(&self, after: &Self) -> String {
        let mut said = String::new();
        let names: std::collections::BTreeSet<_> =
            self.parts.keys().chain(after.parts.keys()).collect();
        for name in names {
            match (self.parts.get(name), after.parts.get(name)) {
                (before, after) if before == after => {}
                (Some(_), None) => writeln!(said, "{name}: is gone").unwrap(),
                (None, Some(text)) => writeln!(said, "{name}: is new:\n{text}").unwrap(),
                (before, after) => {
                    let lines = |text: Option<&String>| -> Vec<String> {
                        text.unwrap().lines().map(str::to_owned).collect()
                    };
                    let (before, after) = (lines(before), lines(after));
                    writeln!(said, "{name}: differs:").unwrap();
                    for line in before.iter().filter(|line| !after.contains(line)) {
                        writeln!(said, "  - {line}").unwrap();
                    }
                    for line in after.iter().filter(|line| !before.contains(line)) {
                        writeln!(said, "  + {line}").unwrap();
                    }
                }
            }
        }
        said
    }
}

/// Specs of all Swarm services, untouched.
async fn services(socket: &Path) -> BTreeMap<String, String> {
    let services = list(json(&client(Some(socket)), "http://docker/services").await).into_iter();
    let spec = |service: Value| {
        let name = word(&service["Spec"]["Name"]);
        (format!("service {name}"), pretty(&service["Spec"]))
    };
    services.map(spec).collect()
}

/// Of one engine, running containers by service, and test containers at all.
async fn containers(socket: &Path) -> BTreeMap<String, String> {
    let http = client(Some(socket));
    let mut parts = BTreeMap::new();
    for container in list(json(&http, "http://docker/containers/json?all=1").await) {
        let labels = &container["Labels"];
        let id = word(&container["Id"]);
        if !labels["verdigris.gate"].is_null() {
            parts.insert(format!("test container {id}"), pretty(labels));
        } else if let Some(service) = labels["com.docker.swarm.service.name"].as_str()
            && container["State"] == "running"
        {
            parts.insert(format!("running {service} {id}"), word(&container["Image"]));
        }
    }
    parts
}

/// The whole catalog and all keys.
async fn consul(http: reqwest::Client, address: &str) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let names = json(&http, &format!("{address}/v1/catalog/services")).await;
    // Consul's entry of itself is its own affair.
    for name in names.as_object().unwrap().keys().filter(|name| *name != "consul") {
        for mut entry in list(json(&http, &format!("{address}/v1/catalog/service/{name}")).await) {
            let fields = entry.as_object_mut().unwrap();
            // These count writes; the order of tags is of no meaning.
            fields.remove("CreateIndex");
            fields.remove("ModifyIndex");
            let id = word(&fields["ServiceID"]);
            parts.insert(format!("catalog {name} {id}"), pretty(&entry));
        }
    }
    for pair in list(json(&http, &format!("{address}/v1/kv/?recurse=true")).await) {
        let value = STANDARD.decode(word(&pair["Value"])).unwrap();
        let text = String::from_utf8(value).unwrap();
        parts.insert(format!("key {}", word(&pair["Key"])), text);
    }
    parts
}

/// All rows of the embedded registry.
fn embedded(file: &Path) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let database = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut read = |table: &str, query: &str, columns: usize| {
        let mut statement = database.prepare(query).unwrap();
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let text = |column| row.get::<_, Option<String>>(column).unwrap().unwrap_or_default();
            let rest: Vec<String> = (1..columns).map(text).collect();
            parts.insert(format!("{table} {}", text(0)), rest.join("\n"));
        }
    };
    read("row services", "SELECT name, colour, route FROM services", 3);
    let columns = "service || ' ' || task, node, address, colour, standing, release, image";
    read("row instances", &format!("SELECT {columns} FROM instances"), 7);
    parts
}

/// What a proxy writes itself, and sockets, which have no text.
const NOT_OURS: [&str; 8] = [
    "log",
    "error.log",
    "nginx.pid",
    "haproxy.pid",
    "answers.sock",
    "master.sock",
    "runtime.sock",
    "access.log",
];

/// Every file, byte for byte; of the flags those that the configuration tests for: others are for
/// workers that read another one and go with the next reload.
fn files(proxy: &str, directory: &Path, parts: &mut BTreeMap<String, String>) {
    if directory.ends_with("nginx/flags") {
        let config = directory.with_file_name("nginx.conf");
        let config = std::fs::read_to_string(config).unwrap_or_default();
        return flags(directory, &config, parts);
    }
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            files(&format!("{proxy}/{name}"), &path, parts);
        } else if !NOT_OURS.contains(&name.as_str()) {
            let text = match std::fs::read_to_string(&path) {
                // One that was to take another's place has done so since it was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                text => text.unwrap(),
            };
            parts.insert(format!("file {proxy}/{name}"), text);
        }
    }
}

fn flags(directory: &Path, config: &str, parts: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if config.contains(&format!("flags/{name}\"")) {
            parts.insert(format!("file nginx/flags/{name}"), String::new());
        }
    }
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        other => panic!("a list, not {other}"),
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}
