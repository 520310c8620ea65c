//! Which requests belong to which service: pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Colour, RouteRule, ServiceName, ServiceView};

/// What a keeper holds of one service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Entry {
    /// What is in force.
    pub view: ServiceView,
    /// The rule that comes into force with the next flip, where it differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<NextRule>,
}

/// A rule that waits for a flip.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct NextRule {
    /// The colour that brings it.
    pub with: Colour,
    /// The rule.
    pub rule: RouteRule,
}

impl Entry {
    /// The rule that holds when `colour` is live.
    pub fn rule_of(&self, colour: Colour) -> &RouteRule {
        match &self.next {
            Some(next) if next.with == colour => &next.rule,
            _ => &self.view.rule,
        }
    }

    /// Let `colour` be live, with its rule.
    pub fn make_live(&mut self, colour: Colour) {
        self.view.rule = self.rule_of(colour).clone();
        self.view.live = Some(colour);
        self.next = None;
    }
}

/// All that a keeper holds; entries are shared because the whole is copied for each change.
pub(crate) type Entries = BTreeMap<ServiceName, Arc<Entry>>;

/// A rule cannot be put into force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("the route has no host: give at least one in `route.hosts`")]
    NoHost,
    #[error("`{0}` is not a host name: use lower-case letters, digits, hyphens and dots")]
    Host(String),
    #[error("`{path}` is not a path prefix: {why}")]
    Path { path: String, why: &'static str },
    #[error("route `{host}{path}` belongs to service `{owner}` already: change one of the two")]
    Taken { host: String, path: String, owner: ServiceName },
}

/// Longest host name that DNS allows.
const LONGEST_HOST: usize = 253;

/// Longest path prefix; far beyond any real one, and well within the proxies' line limits.
const LONGEST_PATH: usize = 512;

/// Whether `rule` can be written into a proxy's configuration.
pub(crate) fn validate(rule: &RouteRule) -> Result<(), RuleError> {
    if rule.hosts.is_empty() {
        return Err(RuleError::NoHost);
    }
    if let Some(host) = rule.hosts.iter().find(|host| !is_host(host)) {
        return Err(RuleError::Host(host.clone()));
    }
    path_problem(&rule.path)
        .map_or(Ok(()), |why| Err(RuleError::Path { path: rule.path.clone(), why }))
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    host.len() <= LONGEST_HOST && host.split('.').all(label)
}

fn path_problem(path: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "/-._~@:+".contains(c);
    if !path.starts_with('/') {
        Some("it does not start with `/`")
    } else if path.len() > LONGEST_PATH {
        Some("it is too long")
    } else if !path.chars().all(allowed) {
        Some("it has a character other than letters, digits and `/-._~@:+`")
    } else if path.contains("//") {
        Some("it has an empty segment")
    } else if path.split('/').any(|segment| segment == "." || segment == "..") {
        Some("it has a `.` or `..` segment")
    } else {
        None
    }
}

/// The prefix without a slash at its end; empty for everything.
pub(crate) fn prefix(path: &str) -> &str {
    path.trim_end_matches('/')
}

/// Whether `inner` lies below `outer` or is the same; both as `prefix` gives them.
fn covers(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Every host and prefix that a rule claims.
fn claims(rule: &RouteRule) -> impl Iterator<Item = (&str, &str)> {
    let path = prefix(&rule.path);
    rule.hosts.iter().map(move |host| (host.as_str(), path))
}

/// Whether `rule` can be put into force for `service` beside the others: valid, and claiming nothing
/// that another service has.
pub(crate) fn admit(
    service: &ServiceName,
    rule: &RouteRule,
    others: &Entries,
) -> Result<(), RuleError> {
    validate(rule)?;
    for entry in others.values().filter(|entry| entry.view.service != *service) {
        let rules = entry.next.iter().map(|next| &next.rule);
        for theirs in rules.chain([&entry.view.rule]) {
            let taken = claims(rule).find(|mine| claims(theirs).any(|claim| claim == *mine));
            if let Some((host, path)) = taken {
                return Err(RuleError::Taken {
                    host: host.to_owned(),
                    path: if path.is_empty() { "/" } else { path }.to_owned(),
                    owner: entry.view.service.clone(),
                });
            }
        }
    }
    Ok(())
}

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
}

/// All claims by host, the longest prefix first.
///
/// A claim that holds for one colour only (a rule that waits for its flip, or ends with it) leaves the
/// request, while the other colour is live, to whoever has the next shorter prefix.
pub(crate) fn table(entries: &Entries) -> BTreeMap<&str, Vec<Claim<'_>>> {
    let mut hosts: BTreeMap<&str, BTreeMap<&str, Vec<Owner<'_>>>> = BTreeMap::new();
    for entry in entries.values() {
        for colour in Colour::BOTH {
            let rule = entry.rule_of(colour);
            for (host, path) in claims(rule) {
                let owners = hosts.entry(host).or_default().entry(path).or_default();
                owners.push((&entry.view.service, colour, rule.tls));
            }
        }
    }
    hosts.into_iter().map(|(host, paths)| (host, resolve(&paths))).collect()
}

/// A service that claims a prefix while a colour of it is live, and whether on TLS as well.
type Owner<'a> = (&'a ServiceName, Colour, bool);

fn resolve<'a>(paths: &BTreeMap<&'a str, Vec<Owner<'a>>>) -> Vec<Claim<'a>> {
    let mut resolved: BTreeMap<&str, Vec<Choice<'_>>> = BTreeMap::new();
    let mut found = Vec::new();
    // In the order of a `BTreeMap` a prefix comes before what lies below it.
    for (path, owners) in paths {
        let own: Vec<Choice<'_>> =
            owners.iter().map(|(service, colour, _)| Choice { service, colour: *colour }).collect();
        let complete = Colour::BOTH.iter().all(|c| own.iter().any(|o| o.colour == *c));
        let mut choices = if complete { Vec::new() } else { inherited(&resolved, path, &own) };
        choices.extend(own);
        resolved.insert(path, choices.clone());
        if let Some((service, _, _)) = owners.first() {
            found.push(Claim {
                path,
                service,
                tls: owners.iter().any(|(_, _, tls)| *tls),
                choices,
            });
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(hosts: &[&str], path: &str) -> RouteRule {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        RouteRule { hosts, path: path.to_owned(), tls: true }
    }

    /// Service, path, and the colour and path of the rule that waits.
    type Row<'a> = (&'a str, &'a str, Option<(Colour, &'a str)>);

    fn entries(list: &[Row<'_>]) -> Entries {
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
    fn a_service_may_move_below_itself() {
        let entries = entries(&[("b", "/api", Some((Colour::Green, "/api/v2")))]);
        assert_eq!(shown(&entries), ["/api/v2/ b-blue b-green", "/api/ b-blue"]);
    }

    #[test]
    fn prefixes_match_whole_segments() {
        assert!(covers("", "/x") && covers("/a", "/a") && covers("/a", "/a/b"));
        assert!(!covers("/a", "/ab") && !covers("/a/b", "/a"));
    }

    #[test]
    fn bad_rules_are_named() {
        for (hosts, path, expected) in [
            (&[][..], "/", "has no host"),
            (&["UPPER.example.com"], "/", "is not a host name"),
            (&["a..b"], "/", "is not a host name"),
            (&["-a.b"], "/", "is not a host name"),
            (&["*.example.com"], "/", "is not a host name"),
            (&["a.b"], "x", "does not start with"),
            (&["a.b"], "/a//b", "empty segment"),
            (&["a.b"], "/a/../b", "`..` segment"),
            (&["a.b"], "/a b", "a character other than"),
        ] {
            let error = validate(&rule(hosts, path)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(validate(&rule(&["a-1.example.com", "localhost"], "/a/b.c~d/")), Ok(()));
    }

    #[test]
    fn a_waiting_rule_is_claimed_as_well() {
        let entries = entries(&[("b", "/old", Some((Colour::Green, "/new")))]);
        let other: ServiceName = "other".parse().unwrap();
        assert!(admit(&other, &rule(&["h"], "/new/"), &entries).is_err());
        assert!(admit(&other, &rule(&["h"], "/old"), &entries).is_err());
        assert!(admit(&other, &rule(&["h"], "/newer"), &entries).is_ok());
        let same: ServiceName = "b".parse().unwrap();
        assert!(admit(&same, &rule(&["h"], "/old"), &entries).is_ok());
    }
}
