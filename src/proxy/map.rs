//! `HAProxy`'s map: routes to services, and `=service` to the live backend.

use std::collections::{BTreeMap, BTreeSet};

use super::names::backend_name;
use super::routing::{self, Entries};
use crate::model::RouteRule;

/// What the keys of live backends begin with; the service's name follows.
pub(crate) const LIVE: &str = "=";

/// In place of a service where nobody answers: the status, as services begin with a letter.
const NOBODY: &str = "421";

/// Its lines, by key.
///
/// A service that is not live yet has no line where a live one has a shorter prefix: until the flip, that one
/// is whom the public is led to. A probe names the service that it means. What is not answered on TLS is
/// nobody's there, whoever has a shorter prefix.
pub(crate) fn map_lines(entries: &Entries) -> BTreeMap<String, String> {
    let views = || entries.values().map(|entry| &entry.view);
    let live = || views().filter(|view| view.live.is_some());
    // Mostly all are live and on TLS, and then there is nothing to compare.
    let simple = views().all(|view| view.live.is_some() && view.rule.tls);
    let compared = live().filter(|_| !simple);
    let served: BTreeSet<Public<'_>> = compared.flat_map(|view| public(&view.rule)).collect();
    let is_covered = |(scheme, host, path): Public<'_>| {
        routing::covering(path).any(|outer| served.contains(&(scheme, host, outer)))
    };
    let mut lines = BTreeMap::new();
    let mut put = |(scheme, host, path): Public<'_>, whose: &str| {
        lines.insert(format!("{scheme}:{host}{path}/"), whose.to_owned());
    };
    for view in views() {
        for place in public(&view.rule) {
            if view.live.is_some() || !is_covered(place) {
                put(place, view.service.as_str());
            }
        }
        if view.live.is_some() && !view.rule.tls {
            let covered = places("https", &view.rule).filter(|place| is_covered(*place));
            covered.for_each(|place| put(place, NOBODY));
        }
    }
    for view in live() {
        if let Some(live) = view.live {
            lines.insert(format!("{LIVE}{}", view.service), backend_name(&view.service, live));
        }
    }
    lines
}

/// A scheme, a host and a prefix.
type Public<'a> = (&'a str, &'a str, &'a str);

/// Where the public is served by `rule`.
fn public(rule: &RouteRule) -> impl Iterator<Item = Public<'_>> {
    places("http", rule).chain(places("https", rule).filter(|_| rule.tls))
}

fn places<'a>(scheme: &'a str, rule: &'a RouteRule) -> impl Iterator<Item = Public<'a>> {
    let path = routing::prefix(&rule.path);
    rule.hosts.iter().map(move |host| (scheme, host.as_str(), path))
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Colour;
    use crate::proxy::routing::Entry;
    use crate::proxy::routing::tests::entries;

    fn entry<'a>(entries: &'a mut Entries, name: &str) -> &'a mut Entry {
        Arc::make_mut(entries.get_mut(&name.parse().unwrap()).unwrap())
    }

    #[test]
    fn what_is_not_answered_on_tls_is_nobodys_there() {
        let mut entries = entries(&[("a", "/", None), ("b", "/b", None), ("c", "/b/c", None)]);
        entry(&mut entries, "b").view.rule.tls = false;
        let https = lines(&entries).into_iter().filter(|line| line.starts_with("https"));
        assert_eq!(https.collect::<Vec<_>>(), ["https:h/ a", "https:h/b/ 421", "https:h/b/c/ c"]);
    }

    fn lines(entries: &Entries) -> Vec<String> {
        map_lines(entries).into_iter().map(|(key, value)| format!("{key} {value}")).collect()
    }

    #[test]
    fn a_service_that_is_not_live_yet_takes_nothing_from_the_one_above_it() {
        let mut entries = entries(&[("a", "/x", None), ("b", "/x/api", None), ("c", "/y", None)]);
        entry(&mut entries, "b").view.live = None;
        entry(&mut entries, "c").view.live = None;
        entry(&mut entries, "a").view.rule.tls = false;
        let expected =
            ["=a a-blue", "http:h/x/ a", "http:h/y/ c", "https:h/x/api/ b", "https:h/y/ c"];
        assert_eq!(lines(&entries), expected);
        entry(&mut entries, "b").make_live(Colour::Green);
        assert!(lines(&entries).contains(&"http:h/x/api/ b".to_owned()));
    }
}
