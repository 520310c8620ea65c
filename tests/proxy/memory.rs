//! Keepers that come back: one that remembers, and one whose state is gone.

use std::collections::BTreeMap;

use rstest::rstest;
use verdigris::deploy::ports::{Proxies, Registry as _};
use verdigris::model::Colour::{Blue, Green};
use verdigris::model::{
    Backend, Instance as InstanceAt, Registration, Route, ServiceRecord, ServiceView, Standing,
};
use verdigris::proxy::Kind;

use crate::backend::Instance;
use crate::client::Load;
use crate::world::{HOST, World, body, deploy, name, reloads, view, world};

/// What is idle may have gone since the proxy read its files: nobody misses it there.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_restarts_reloads_for_nothing_that_is_only_idle(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    fleet.retire(&name("books"), Blue).await.unwrap();
    drop(fleet);
    let fleet = world.fleet().await;
    assert_eq!((reloads(&fleet), body(&world).await), (0, "green".to_owned()));
    drop(fleet);
    // For a template that was saved meanwhile it does.
    let template = std::fs::read_to_string(format!("templates/{kind}.{}.tera", extension(kind)));
    let template = template.unwrap() + "\n# saved meanwhile\n";
    std::fs::write(world.path("own.tera"), template).unwrap();
    world.settings.template = Some(world.path("own.tera"));
    let fleet = world.fleet().await;
    assert_eq!((reloads(&fleet), body(&world).await), (1, "green".to_owned()));
}

fn extension(kind: Kind) -> &'static str {
    match kind {
        Kind::Nginx => "conf",
        Kind::Haproxy => "cfg",
    }
}

/// The state directory is gone, the registry is not.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_without_memory_begins_with_what_is_recorded(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    let views = fleet.snapshot(&name("books")).await.unwrap();
    let known = views.into_values().flatten().next().unwrap();
    world.registry.write(&name("books"), &recorded(&known)).await.unwrap();
    drop(fleet);
    std::fs::remove_dir_all(world.path("state")).unwrap();
    let load = Load::start(world.http(), HOST, 3, 3);
    let fleet = world.fleet().await;
    assert_eq!(body(&world).await, "green");
    assert!(fleet.status()[0].in_sync, "{:?}", fleet.status());
    let now = fleet.snapshot(&name("books")).await.unwrap();
    assert_eq!(now.into_values().flatten().next().unwrap(), known);
    let outcome = load.stop().await;
    assert_eq!(outcome.lost, Vec::<String>::new(), "of {}", outcome.sent);
}

/// What runs may have been rendered from more than is recorded: until it has read the new file, it goes by
/// the flags that it knows.
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_without_memory_leads_nobody_astray_before_the_reload() {
    let world = world!(Kind::Nginx);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    fleet.retire(&name("books"), Blue).await.unwrap();
    let views = fleet.snapshot(&name("books")).await.unwrap();
    let known = views.into_values().flatten().next().unwrap();
    world.registry.write(&name("books"), &recorded(&known)).await.unwrap();
    drop(fleet);
    std::fs::remove_dir_all(world.path("state")).unwrap();
    let before = blue.requests();
    let load = Load::start(world.http(), HOST, 3, 3);
    let fleet = world.fleet().await;
    assert_eq!((reloads(&fleet), body(&world).await), (1, "green".to_owned()));
    load.stop().await;
    assert_eq!(blue.requests(), before, "nobody came to the colour that is not live");
}

/// What the registry holds of a service that a proxy leads to like this.
fn recorded(view: &ServiceView) -> ServiceRecord {
    let entry = |colour, backend: &Backend| Registration {
        instance: InstanceAt {
            task: backend.task.clone(),
            node: "n1".to_owned(),
            address: backend.address,
        },
        colour,
        standing: if view.live == Some(colour) { Standing::Live } else { Standing::Idle },
        release: "0123456789ab".to_owned().into(),
        image: "books:1".to_owned(),
    };
    let of = |colour| view.of(colour).iter().map(move |backend| entry(colour, backend));
    let live = view.live.unwrap();
    ServiceRecord {
        colour: Some(live),
        route: Some(Route {
            generation: view.generation,
            rule: Some(view.rule.clone()),
            weights: BTreeMap::from([(live, 100), (live.other(), 0)]),
            releases: BTreeMap::new(),
        }),
        instances: of(Blue).chain(of(Green)).map(|e| (e.instance.task.clone(), e)).collect(),
    }
}
