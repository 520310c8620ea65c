//! Services as `status` shows them: from the registry, the Swarm and the deployments under way; and from the
//! proxies while the registry is away.

use std::collections::BTreeMap;

use crate::deploy::control::{Refusal, RefusalKind};
use crate::deploy::engine::Engine;
use crate::deploy::ports::SwarmSnapshot;
use crate::model::{
    Colour, ReleaseId, Route, ServiceName, ServiceRecord, ServiceStatus, ServiceView,
};

/// The services on record, those that have a colour in the Swarm, and those that a deployment is under way
/// for; `only` one, if named, of which something is known.
pub async fn services(
    records: BTreeMap<ServiceName, ServiceRecord>,
    colours: &[(ServiceName, Colour, SwarmSnapshot)],
    only: Option<&ServiceName>,
    engine: &Engine,
) -> Result<Vec<ServiceStatus>, Refusal> {
    let mut services = gathered(records, colours, &engine.busy());
    services.retain(|service, _| only.is_none_or(|only| only == service));
    let mut shown = Vec::with_capacity(services.len());
    for (service, mut status) in services {
        if let Some(id) = engine.under_way(&service) {
            status.deployment = Some(engine.deployment(id).await?);
        }
        if only.is_none() || is_known(&status) {
            shown.push(status);
        }
    }
    Ok(shown)
}

fn is_known(status: &ServiceStatus) -> bool {
    !status.instances.is_empty()
        || !status.releases.is_empty()
        || status.live.is_some()
        || status.route.is_some()
        || status.deployment.is_some()
}

/// All services with what is known of their colours.
fn gathered(
    mut records: BTreeMap<ServiceName, ServiceRecord>,
    colours: &[(ServiceName, Colour, SwarmSnapshot)],
    busy: &[ServiceName],
) -> BTreeMap<ServiceName, ServiceStatus> {
    for service in colours.iter().map(|(service, ..)| service).chain(busy) {
        records.entry(service.clone()).or_default();
    }
    let mut services: BTreeMap<ServiceName, ServiceStatus> = records
        .into_iter()
        .map(|(service, record)| (service.clone(), on_record(service, record)))
        .collect();
    for (service, colour, there) in colours {
        if let Some(status) = services.get_mut(service) {
            add(status, *colour, there);
        }
    }
    services
}

fn on_record(service: ServiceName, record: ServiceRecord) -> ServiceStatus {
    let mut releases = BTreeMap::new();
    let mut images = BTreeMap::new();
    for entry in record.instances.values() {
        releases.insert(entry.colour, entry.release.clone());
        images.insert(entry.colour, entry.image.clone());
    }
    ServiceStatus {
        live: record.colour,
        releases,
        images,
        instances: record.instances.into_values().collect(),
        route: record.route,
        deployment: None,
        drift: Vec::new(),
        mended: Vec::new(),
        service,
    }
}

/// Add what a Swarm service says of its colour, which may have no instances: one that is kept at scale 0.
fn add(status: &mut ServiceStatus, colour: Colour, there: &SwarmSnapshot) {
    if let Some(release) = there.release() {
        let release = ReleaseId::from(release.to_owned());
        status.releases.entry(colour).or_insert(release);
    }
    if let Some(image) = there.image() {
        status.images.entry(colour).or_insert_with(|| image.to_owned());
    }
}

/// What every proxy that knows a service follows, in the place of what is on record: `views` are all that the
/// proxies have. Where they do not agree on the live colour there is none.
pub fn led(views: Vec<ServiceView>) -> BTreeMap<ServiceName, ServiceRecord> {
    let mut by_service: BTreeMap<ServiceName, Vec<ServiceView>> = BTreeMap::new();
    for view in views {
        by_service.entry(view.service.clone()).or_default().push(view);
    }
    by_service.into_iter().map(|(service, views)| (service, followed(views))).collect()
}

fn followed(mut views: Vec<ServiceView>) -> ServiceRecord {
    let Some(view) = views.pop() else { return ServiceRecord::default() };
    let Some(live) = view.live.filter(|_| views.iter().all(|other| other.live == view.live)) else {
        return ServiceRecord::default();
    };
    let route = Route {
        gives_up: None,
        generation: view.generation,
        rule: Some(view.rule),
        weights: BTreeMap::from([(live, 100)]),
        releases: BTreeMap::new(),
    };
    ServiceRecord { instances: BTreeMap::new(), colour: Some(live), route: Some(route) }
}

/// Add `problem` to `problems`, if nobody has told it yet.
pub fn add_problem(problems: &mut Vec<String>, problem: String) {
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

/// Nobody knows `service`.
pub fn unknown(service: &ServiceName) -> Refusal {
    Refusal {
        kind: RefusalKind::Unknown,
        message: format!("there is no service `{service}`"),
        details: Vec::new(),
        remedy: Some("`verdigris status` lists those that there are".to_owned()),
        deployment: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Instance, Registration, RouteRule, Standing, labels};

    fn books() -> ServiceName {
        "books-ms".parse().unwrap()
    }

    fn in_swarm(colour: Colour, release: &str) -> (ServiceName, Colour, SwarmSnapshot) {
        let spec = json!({
            "Labels": { labels::RELEASE: release },
            "Mode": { "Replicated": { "Replicas": 0 } },
            "TaskTemplate": { "ContainerSpec": { "Image": format!("books@{release}") } },
        });
        (books(), colour, SwarmSnapshot { name: books().swarm_name(colour), spec })
    }

    fn record() -> ServiceRecord {
        let entry = Registration {
            instance: Instance {
                task: "t1".to_owned(),
                node: "n1".to_owned(),
                address: ([10, 0, 0, 1], 30_001).into(),
            },
            colour: Colour::Blue,
            standing: Standing::Live,
            release: "r2".to_owned().into(),
            image: "books@r2".to_owned(),
        };
        let instances = [("t1".to_owned(), entry)].into();
        ServiceRecord { instances, colour: Some(Colour::Blue), route: None }
    }

    fn view(live: Option<Colour>) -> ServiceView {
        let rule = RouteRule { hosts: Vec::new(), path: "/".to_owned(), tls: false };
        ServiceView { service: books(), rule, live, generation: 7, backends: BTreeMap::new() }
    }

    #[test]
    fn a_colour_that_is_kept_without_instances_is_shown() {
        let swarm = vec![in_swarm(Colour::Blue, "r2"), in_swarm(Colour::Green, "r1")];
        let status = &gathered([(books(), record())].into(), &swarm, &[])[&books()];
        let releases: Vec<(Colour, &str)> =
            status.releases.iter().map(|(colour, release)| (*colour, release.as_str())).collect();
        assert_eq!(releases, [(Colour::Blue, "r2"), (Colour::Green, "r1")]);
        assert_eq!(status.images[&Colour::Green], "books@r1");
        assert_eq!(status.instances.len(), 1);
    }

    #[test]
    fn a_service_that_only_the_swarm_has_or_a_deployment_is_shown() {
        let other: ServiceName = "films-ms".parse().unwrap();
        let swarm = vec![in_swarm(Colour::Blue, "r2")];
        let services = gathered(BTreeMap::new(), &swarm, std::slice::from_ref(&other));
        assert_eq!(services.keys().collect::<Vec<_>>(), [&books(), &other]);
        assert!(is_known(&services[&books()]) && !is_known(&services[&other]));
    }

    #[test]
    fn what_all_proxies_lead_to_stands_in_for_the_registry() {
        let live = |views: &[Option<Colour>]| {
            let record = led(views.iter().map(|live| view(*live)).collect()).remove(&books());
            let record = record.unwrap();
            assert_eq!(record.route.as_ref().and_then(Route::live), record.colour);
            record.colour
        };
        let (blue, green) = (Some(Colour::Blue), Some(Colour::Green));
        assert_eq!(live(&[green]), green);
        assert_eq!(live(&[green, green]), green);
        for views in [[green, blue], [green, None], [None, None]] {
            assert_eq!(live(&views), None, "{views:?}");
        }
        assert!(led(Vec::new()).is_empty());
    }

    #[test]
    fn a_problem_is_told_once() {
        let mut problems = vec!["no".to_owned()];
        add_problem(&mut problems, "no".to_owned());
        add_problem(&mut problems, "neither".to_owned());
        assert_eq!(problems, ["no", "neither"]);
    }
}
