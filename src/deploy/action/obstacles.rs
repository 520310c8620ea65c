use std::collections::BTreeMap;

use crate::deploy::ports::{Door, SwarmSnapshot};
use crate::model::{RouteRule, ServiceName, ServiceRecord, labels};

/// Swarm services that bear a colour's name but that Verdigris did not make.
pub(super) fn foreign<'a>(snapshots: impl Iterator<Item = &'a SwarmSnapshot>) -> Vec<String> {
    snapshots
        .filter(|snapshot| snapshot.label(labels::MANAGED_BY) != Some(labels::VERDIGRIS))
        .map(|snapshot| {
            format!(
                "a Swarm service `{}` exists that Verdigris did not make: remove or rename it",
                snapshot.name
            )
        })
        .collect()
}

/// Other services that the public already reaches under the same host and path.
pub(super) fn clashes(
    service: &ServiceName,
    rule: Option<&RouteRule>,
    others: &BTreeMap<ServiceName, ServiceRecord>,
) -> Vec<String> {
    let Some(rule) = rule else { return Vec::new() };
    let taken = |record: &ServiceRecord| {
        let route = record.route.as_ref()?;
        let on_path = |theirs: &&RouteRule| theirs.path == rule.path;
        let mut theirs = [&route.rule, &route.gives_up].into_iter().flatten().filter(on_path);
        theirs
            .find_map(|theirs| theirs.hosts.iter().find(|host| rule.hosts.contains(host)))
            .cloned()
    };
    others
        .iter()
        .filter(|(name, _)| *name != service)
        .filter_map(|(name, record)| Some((name, taken(record)?)))
        .map(|(name, host)| {
            format!("the route {host}{} belongs to service `{name}` already", rule.path)
        })
        .collect()
}

/// That the public would not be served by any proxy, where there is one: what nobody serves cannot be proved
/// either.
pub(super) fn unserved(rule: Option<&RouteRule>, doors: &[Door]) -> Option<String> {
    let rule = rule?;
    let serves = |door: &Door| door.http.is_some() || (rule.tls && door.https.is_some());
    if doors.is_empty() || doors.iter().any(serves) {
        return None;
    }
    Some(format!(
        "no proxy serves {}{} without TLS: set `route.tls: true`, or give a proxy `http` in the daemon's configuration",
        rule.hosts.first().map_or("", String::as_str),
        rule.path
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Route;

    fn door(http: bool) -> Door {
        let (http, https) = (http.then_some(80), (!http).then_some(443));
        let at = |port: Option<u16>| port.map(|port| ([192, 0, 2, 1], port).into());
        Door { proxy: "edge".to_owned(), http: at(http), https: at(https), ca: None, probe: None }
    }

    fn found(tls: bool, doors: &[Door]) -> bool {
        let hosts = vec!["books.example.com".to_owned()];
        let rule = RouteRule { hosts, path: "/".to_owned(), tls };
        unserved(Some(&rule), doors).is_some()
    }

    #[test]
    fn a_route_is_free_once_it_was_given_up_for_good() {
        let rule = |path: &str| RouteRule {
            hosts: vec!["books.example.com".to_owned()],
            path: path.to_owned(),
            tls: false,
        };
        let found = |gives_up: Option<RouteRule>| {
            let (weights, releases) = (BTreeMap::new(), BTreeMap::new());
            let route =
                Route { generation: 2, rule: Some(rule("/new")), gives_up, weights, releases };
            let record = ServiceRecord { route: Some(route), ..ServiceRecord::default() };
            let others = BTreeMap::from([("books".parse().unwrap(), record)]);
            clashes(&"films".parse().unwrap(), Some(&rule("/old")), &others).len()
        };
        assert_eq!((found(Some(rule("/old"))), found(None)), (1, 0));
    }

    #[test]
    fn a_route_has_a_door_in_one_proxy_at_least() {
        assert!(found(false, &[door(false)]));
        assert!(!found(true, &[door(false)]));
        assert!(!found(false, &[door(true), door(false)]), "it is served by the other one");
        assert!(!found(true, &[door(true)]));
        assert!(!found(false, &[]), "who has no proxy has another way to the public");
    }
}
