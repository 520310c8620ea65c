//! `HAProxy`'s map: routes to services, and `=service` to the live backend.

use std::collections::BTreeMap;

use super::names::backend_name;
use super::routing::{self, Entries};

/// What the keys of live backends begin with; the service's name follows.
pub(crate) const LIVE: &str = "=";

/// Its lines, by key.
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
            lines.insert(format!("{LIVE}{}", view.service), backend_name(&view.service, live));
        }
    }
    lines
}

/// The map file.
pub(crate) fn map_text(entries: &Entries) -> String {
    let mut text = String::from(
        "# Written by Verdigris: routes (scheme:host/prefix/ service) and live colours (=service backend).\n",
    );
    for (key, value) in map_lines(entries) {
        text.push_str(&key);
        text.push(' ');
        text.push_str(&value);
        text.push('\n');
    }
    text
}
