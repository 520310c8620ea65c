//! Whether a rule can be put into force.

use super::Entries;
use crate::model::{RouteRule, ServiceName};

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
fn validate(rule: &RouteRule) -> Result<(), RuleError> {
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

/// Every host and prefix that a rule claims.
pub(super) fn claims(rule: &RouteRule) -> impl Iterator<Item = (&str, &str)> {
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

#[cfg(test)]
mod tests {
    use super::super::tests::{entries, rule};
    use super::*;
    use crate::model::Colour;

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
