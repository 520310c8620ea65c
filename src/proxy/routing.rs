//! Which requests belong to which service: pure.

mod entry;
mod rule;

use std::collections::BTreeMap;

use crate::model::{Colour, ServiceName};

pub(crate) use entry::{Entries, Entry, NextRule};
use rule::claims;
pub(crate) use rule::{RuleError, admit, prefix};

/// What becomes of the requests below one prefix of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim<'a> {
    /// The prefix, without a slash at its end.
    pub path: &'a str,
    /// The service that is asked first.
    pub service: &'a ServiceName,
    /// Answered on TLS as well.
    pub tls: bool,
    /// Whose it is, from the least to the most decisive.
    pub choices: Vec<Choice<'a>>,
}

/// `colour` of `service` gets the request when it is live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice<'a> {
    pub service: &'a ServiceName,
    pub colour: Colour,
    /// Answered on TLS as well.
    pub tls: bool,
}

/// All claims by host, the longest prefix first.
///
/// A claim that holds for one colour only (a rule that waits for its flip, or ends with it) leaves the
/// request, while the other colour is live, to whoever has the next shorter prefix; and so does the claim of
/// a service that is not live yet.
pub(crate) fn table(entries: &Entries) -> BTreeMap<&str, Vec<Claim<'_>>> {
    let mut hosts: BTreeMap<&str, BTreeMap<&str, Vec<Owner<'_>>>> = BTreeMap::new();
    for entry in entries.values() {
        for colour in Colour::BOTH {
            let rule = entry.rule_of(colour);
            for (host, path) in claims(rule) {
                let owners = hosts.entry(host).or_default().entry(path).or_default();
                let service = &entry.view.service;
                let live = entry.view.live.is_some();
                owners.push(Owner { service, colour, tls: rule.tls, live });
            }
        }
    }
    hosts.into_iter().map(|(host, paths)| (host, resolve(&paths))).collect()
}

/// A service that claims a prefix while `colour` of it is live.
struct Owner<'a> {
    service: &'a ServiceName,
    colour: Colour,
    /// On TLS as well.
    tls: bool,
    /// One of its colours is live.
    live: bool,
}

fn resolve<'a>(paths: &BTreeMap<&'a str, Vec<Owner<'a>>>) -> Vec<Claim<'a>> {
    let mut resolved: BTreeMap<&str, Vec<Choice<'_>>> = BTreeMap::new();
    let mut found = Vec::new();
    // In the order of a `BTreeMap` a prefix comes before what lies below it.
    for (path, owners) in paths {
        let choice = |owner: &Owner<'a>| Choice {
            service: owner.service,
            colour: owner.colour,
            tls: owner.tls,
        };
        let own: Vec<Choice<'_>> = owners.iter().map(choice).collect();
        let decides = |colour: &Colour| owners.iter().any(|o| o.live && o.colour == *colour);
        let complete = Colour::BOTH.iter().all(decides);
        let mut choices = if complete { Vec::new() } else { inherited(&resolved, path, &own) };
        choices.extend(own);
        resolved.insert(path, choices.clone());
        if let Some(first) = owners.first() {
            let tls = owners.iter().any(|owner| owner.tls);
            found.push(Claim { path, service: first.service, tls, choices });
        }
    }
    found.sort_by(|a, b| b.path.len().cmp(&a.path.len()).then(a.path.cmp(b.path)));
    found
}

/// The choices of the next shorter prefix, without those that `own` decides anyway.
fn inherited<'a>(
    resolved: &BTreeMap<&'a str, Vec<Choice<'a>>>,
    path: &str,
    own: &[Choice<'a>],
) -> Vec<Choice<'a>> {
    let outer = resolved
        .iter()
        .filter(|(outer, _)| covers(outer, path))
        .max_by_key(|(outer, _)| outer.len());
    outer.map_or_else(Vec::new, |(_, choices)| {
        let fresh = |choice: &&Choice<'a>| !own.contains(choice);
        choices.iter().filter(fresh).cloned().collect()
    })
}

/// The prefixes that cover `path`, itself among them, the longest first; all as `prefix` gives them.
pub(crate) fn covering(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| Some(path.rsplit_once('/')?.0))
}

/// Whether `inner` lies below `outer` or is the same; both as `prefix` gives them.
fn covers(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{RouteRule, ServiceView};

    pub(super) fn rule(hosts: &[&str], path: &str) -> RouteRule {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        RouteRule { hosts, path: path.to_owned(), tls: true }
    }

    /// Service, path, and the colour and path of the rule that waits.
    pub(in crate::proxy) type Row<'a> = (&'a str, &'a str, Option<(Colour, &'a str)>);

    pub(in crate::proxy) fn entries(list: &[Row<'_>]) -> Entries {
        let entry = |(service, path, next): &Row<'_>| {
            let service: ServiceName = service.parse().unwrap();
            let view = ServiceView {
                service: service.clone(),
                rule: rule(&["h"], path),
                live: Some(Colour::Blue),
                generation: 1,
                backends: BTreeMap::new(),
            };
            let next = next.map(|(with, path)| NextRule { with, rule: rule(&["h"], path) });
            (service, Arc::new(Entry { view, next }))
        };
        list.iter().map(entry).collect()
    }

    fn shown(entries: &Entries) -> Vec<String> {
        let claims = &table(entries)["h"];
        let choice = |choice: &Choice<'_>| format!("{}-{}", choice.service, choice.colour);
        let line = |claim: &Claim<'_>| {
            let choices: Vec<String> = claim.choices.iter().map(choice).collect();
            format!("{}/ {}", claim.path, choices.join(" "))
        };
        claims.iter().map(line).collect()
    }

    #[test]
    fn the_longest_prefix_comes_first() {
        let entries = entries(&[("a", "/", None), ("b", "/api/", None), ("c", "/api/v1", None)]);
        let expected = ["/api/v1/ c-blue c-green", "/api/ b-blue b-green", "/ a-blue a-green"];
        assert_eq!(shown(&entries), expected);
    }

    #[test]
    fn what_holds_for_one_colour_leaves_the_rest_to_the_shorter_prefix() {
        let entries = entries(&[("a", "/", None), ("b", "/old", Some((Colour::Green, "/new")))]);
        let expected =
            ["/new/ a-blue a-green b-green", "/old/ a-blue a-green b-blue", "/ a-blue a-green"];
        assert_eq!(shown(&entries), expected);
    }

    #[test]
    fn a_service_that_is_not_live_yet_leaves_its_prefix_to_the_shorter_one() {
        let mut entries = entries(&[("a", "/", None), ("b", "/api", None)]);
        Arc::make_mut(entries.get_mut(&"b".parse().unwrap()).unwrap()).view.live = None;
        let expected = ["/api/ a-blue a-green b-blue b-green", "/ a-blue a-green"];
        assert_eq!(shown(&entries), expected);
    }

    #[test]
    fn a_service_may_move_below_itself() {
        let entries = entries(&[("b", "/api", Some((Colour::Green, "/api/v2")))]);
        assert_eq!(shown(&entries), ["/api/v2/ b-blue b-green", "/api/ b-blue"]);
    }

    #[test]
    fn prefixes_match_whole_segments() {
        assert!(covers("", "/x") && covers("/a", "/a") && covers("/a", "/a/b"));
        assert!(!covers("/a", "/ab") && !covers("/a/b", "/a"));
        assert_eq!(covering("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", ""]);
        assert_eq!(covering("").collect::<Vec<_>>(), [""]);
    }
}
