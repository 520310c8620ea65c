//! Records to write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use verdigris::model::{
    Colour, Instance, Registration, ReleaseId, Route, RouteRule, ServiceName, ServiceRecord,
    Standing,
};

/// A name that no other test has: tests share a Consul.
pub fn service() -> ServiceName {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("books-{}-{number}", std::process::id()).parse().unwrap()
}

/// `count` instances of `colour`.
pub fn instances(colour: Colour, standing: Standing, count: u16) -> Vec<Registration> {
    let release = ReleaseId::from(format!("{colour}c0ffee"));
    (0..count)
        .map(|number| Registration {
            instance: Instance {
                task: format!("{colour}task{number}"),
                node: format!("node-{}.example.com", number % 3),
                address: format!("10.0.{}.7:{}", number % 3, 32768 + number).parse().unwrap(),
            },
            colour,
            standing,
            release: release.clone(),
            image: format!("127.0.0.1:5000/books-ms@sha256:{}", "ab".repeat(32)),
        })
        .collect()
}

/// A record of these instances.
pub fn record(
    instances: impl IntoIterator<Item = Registration>,
    colour: Option<Colour>,
    route: Option<Route>,
) -> ServiceRecord {
    ServiceRecord {
        instances: instances
            .into_iter()
            .map(|entry| (entry.instance.task.clone(), entry))
            .collect(),
        colour,
        route,
    }
}

/// All traffic to `live`.
pub fn route(generation: u64, live: Colour) -> Route {
    Route {
        gives_up: None,
        generation,
        rule: Some(RouteRule {
            hosts: vec!["books.example.com".to_owned()],
            path: "/api/v1/books".to_owned(),
            tls: true,
        }),
        weights: BTreeMap::from([(live, 100), (live.other(), 0)]),
        releases: BTreeMap::from([(live, format!("{live}c0ffee"))]),
    }
}

/// `count` instances of `live`, all traffic there.
pub fn settled(live: Colour, generation: u64, count: u16) -> ServiceRecord {
    record(instances(live, Standing::Live, count), Some(live), Some(route(generation, live)))
}

/// The records that a deployment from blue to green goes through, from none on.
pub fn story() -> Vec<ServiceRecord> {
    use Colour::{Blue, Green};
    use Standing::{Idle, Live};
    let both = |blue, green| [instances(Blue, blue, 2), instances(Green, green, 3)].concat();
    vec![
        ServiceRecord::default(),
        record(instances(Blue, Idle, 2), None, None),
        settled(Blue, 1, 2),
        record(both(Live, Idle), Some(Blue), Some(route(1, Blue))),
        record(both(Idle, Live), Some(Blue), Some(route(2, Green))),
        record(both(Idle, Live), Some(Green), Some(route(2, Green))),
        settled(Green, 2, 3),
        record([], Some(Green), Some(route(2, Green))),
        record([], Some(Green), None),
    ]
}
