//! Placement constraints, as far as they can be judged from outside. Pure.

use super::node::Node;

/// One of `deploy.placement.constraints`: `node.labels.zone == prod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    key: String,
    equal: bool,
    value: String,
}

impl Constraint {
    /// Read it; none when it is no constraint (the engine says so itself).
    pub fn parse(text: &str) -> Option<Self> {
        let (key, equal, value) = match (text.split_once("=="), text.split_once("!=")) {
            (Some((key, value)), None) => (key, true, value),
            (None, Some((key, value))) => (key, false, value),
            _ => return None,
        };
        Some(Self { key: key.trim().to_owned(), equal, value: value.trim().to_owned() })
    }

    /// Whether `node` satisfies it. A key that is not known here is left to the Swarm to judge.
    pub fn allows(&self, node: &Node) -> bool {
        let found = match self.key.as_str() {
            "node.id" => node.id.as_str(),
            "node.hostname" => &node.hostname,
            "node.role" => &node.role,
            "node.platform.os" => &node.os,
            key => match label(node, key) {
                Some(found) => found,
                None => return true,
            },
        };
        // Swarm compares without regard to case.
        found.eq_ignore_ascii_case(&self.value) == self.equal
    }
}

fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    let (labels, name) = if let Some(name) = key.strip_prefix("node.labels.") {
        (&node.labels, name)
    } else if let Some(name) = key.strip_prefix("engine.labels.") {
        (&node.engine_labels, name)
    } else {
        return None;
    };
    // A label that is not there compares as an empty one.
    Some(labels.get(name).map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_judged_as_swarm_judges_them() {
        let node = Node {
            id: "n1".to_owned(),
            hostname: "alpha".to_owned(),
            address: None,
            ready: true,
            active: true,
            role: "worker".to_owned(),
            labels: [("zone".to_owned(), "Prod".to_owned())].into(),
            engine_labels: [("disk".to_owned(), "ssd".to_owned())].into(),
            os: "linux".to_owned(),
        };
        for (text, allowed) in [
            ("node.labels.zone == prod", true),
            ("node.labels.zone==test", false),
            ("node.labels.zone != test", true),
            ("node.labels.rack == 1", false),
            ("node.labels.rack != 1", true),
            ("engine.labels.disk == ssd", true),
            ("node.role == manager", false),
            ("node.role != manager", true),
            ("node.hostname == alpha", true),
            ("node.platform.os == linux", true),
            ("node.ip == 10.0.0.0/8", true),
        ] {
            assert_eq!(Constraint::parse(text).unwrap().allows(&node), allowed, "{text}");
        }
        assert_eq!(Constraint::parse("node.role"), None);
    }
}
