use std::collections::BTreeMap;

use crate::deploy::ports::SwarmSnapshot;
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
        let theirs = record.route.as_ref()?.rule.as_ref()?;
        let host = theirs.hosts.iter().find(|host| rule.hosts.contains(host))?;
        (theirs.path == rule.path).then(|| host.clone())
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
