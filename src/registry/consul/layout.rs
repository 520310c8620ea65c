use super::SettingsError;
use crate::model::{Colour, ServiceName};

/// What things are called in Consul.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    prefix: String,
    node: String,
    services: String,
}

/// The prefix whose node is simply `verdigris`.
const USUAL: &str = "verdigris";

/// What a key under a service is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Colour,
    Route,
}

impl Layout {
    pub(super) fn new(prefix: &str) -> Result<Self, SettingsError> {
        if !is_prefix(prefix) {
            return Err(SettingsError::Prefix(prefix.to_owned()));
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            node: node(prefix),
            services: format!("{prefix}/services/"),
        })
    }

    /// What everything is kept under.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The catalog node that instances stand under: one per prefix, so that two installations in one
    /// Consul do not see each other's.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// What all keys of services begin with.
    pub(super) fn services(&self) -> &str {
        &self.services
    }

    /// The key of the bare colour.
    pub(super) fn colour(&self, service: &ServiceName) -> String {
        format!("{}{service}/colour", self.services)
    }

    /// The key of the route document.
    pub(super) fn route(&self, service: &ServiceName) -> String {
        format!("{}{service}/route", self.services)
    }

    /// The key that a lease locks.
    pub(super) fn lock(&self, service: &ServiceName) -> String {
        format!("{}{service}", self.locks())
    }

    /// What the keys of all leases begin with.
    pub(super) fn locks(&self) -> String {
        format!("{}/locks/", self.prefix)
    }

    /// What `key` is, if it is one of ours.
    pub(super) fn leaf(&self, key: &str) -> Option<(ServiceName, Leaf)> {
        let (service, leaf) = key.strip_prefix(&self.services)?.split_once('/')?;
        let leaf = match leaf {
            "colour" => Leaf::Colour,
            "route" => Leaf::Route,
            _ => return None,
        };
        Some((service.parse().ok()?, leaf))
    }
}

/// The id of an instance's entry in the catalog.
pub(super) fn id(service: &ServiceName, colour: Colour, task: &str) -> String {
    format!("verdigris-{service}-{colour}-{task}")
}

fn is_prefix(prefix: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    prefix.split('/').all(|part| !part.is_empty() && part.chars().all(allowed))
}

/// A node's name is part of DNS names, so it has no other characters than letters, digits and `-`.
fn node(prefix: &str) -> String {
    if prefix == USUAL {
        return USUAL.to_owned();
    }
    let word: String =
        prefix.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("{USUAL}-{word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_made_of_words() {
        for prefix in ["verdigris", "ops/verdigris", "a-b_c.d"] {
            assert!(Layout::new(prefix).is_ok(), "{prefix}");
        }
        for prefix in ["", "/", "/verdigris", "verdigris/", "a//b", "a b", "a?b", "a%2f"] {
            assert!(Layout::new(prefix).is_err(), "{prefix}");
        }
    }

    #[test]
    fn each_prefix_has_a_node() {
        let node = |prefix| Layout::new(prefix).unwrap().node().to_owned();
        assert_eq!(node("verdigris"), "verdigris");
        assert_eq!(node("ops/verdigris"), "verdigris-ops-verdigris");
    }

    #[test]
    fn only_our_keys_are_ours() {
        let layout = Layout::new("verdigris").unwrap();
        let service: ServiceName = "books-ms".parse().unwrap();
        let ours = |key: &str| layout.leaf(key);
        let colour = layout.colour(&service);
        assert_eq!(colour, "verdigris/services/books-ms/colour");
        assert_eq!(ours(&colour), Some((service.clone(), Leaf::Colour)));
        let route = layout.route(&service);
        assert_eq!(ours(&route), Some((service, Leaf::Route)));
        for key in [
            "verdigris/services/books-ms/notes",
            "verdigris/services/books-ms/colour/more",
            "verdigris/services/Books/colour",
            "verdigris/keepers/edge",
            "other/services/books-ms/colour",
        ] {
            assert_eq!(ours(key), None, "{key}");
        }
    }
}
