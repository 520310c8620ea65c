use crate::document::{At, Node, Problems, Read, Refusal, Value, record};

use super::super::leaves::Name;

/// The networks of a service, by the key they have in the file.
#[derive(Debug, Clone)]
pub(crate) struct NetworkUses(pub Vec<(At<String>, NetworkOptions)>);

record! {
    /// How a service is attached to a network.
    #[derive(Default)]
    pub(crate) struct NetworkOptions is extensible refuses refuse {
        aliases: Vec<Name>,
    }
}

impl Read for NetworkUses {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            let names: Vec<At<String>> = Vec::read(node, problems)?;
            return Some(Self(names.into_iter().map(|name| (name, <_>::default())).collect()));
        };
        let mut uses = Vec::new();
        for entry in entries {
            let key = At { value: entry.key.clone(), place: entry.place.clone() };
            let options: Option<NetworkOptions> = Read::read(&entry.value, problems)?;
            uses.push((key, options.unwrap_or_default()));
        }
        Some(Self(uses))
    }
}

fn refuse(key: &str) -> Option<Refusal> {
    let why = match key {
        "ipv4_address" | "ipv6_address" | "link_local_ips" | "mac_address" => {
            "Swarm chooses the addresses of tasks"
        }
        "priority" | "gw_priority" | "interface_name" | "driver_opts" => {
            "Swarm's attachments to networks have names only"
        }
        _ => return None,
    };
    Some(Refusal { why, remedy: "remove it" })
}
