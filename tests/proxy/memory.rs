//! Keepers that come back: one that remembers, and one whose state is gone.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use rstest::rstest;
use verdigris::deploy::ports::{PortError, PortResult, Proxies, Registry, Trouble};
use verdigris::model::Colour::{Blue, Green};
use verdigris::model::{
    Backend, Instance as InstanceAt, Registration, Route, ServiceName, ServiceRecord, ServiceView,
    Standing,
};
use verdigris::proxy::{Fleet, Kind};

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
    world.end(fleet).await;
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
    world.end(fleet).await;
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

/// The state directory is gone, and the registry is away for a while.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_without_memory_takes_nothing_from_the_public_while_nobody_says_what_there_is(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = Fleet::start(vec![world.settings.clone()], &Away).await;
    let fleet = fleet.expect("the first start ever needs no registry");
    let blue = Instance::start("blue").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let views = fleet.snapshot(&name("books")).await.unwrap();
    let known = views.into_values().flatten().next().unwrap();
    world.registry.write(&name("books"), &recorded(&known)).await.unwrap();
    world.end(fleet).await;
    std::fs::remove_dir_all(world.path("state")).unwrap();
    let (files, load) = (world.files(), Load::start(world.http(), HOST, 3, 3));
    let begun = Fleet::start(vec![world.settings.clone()], &Away).await;
    let error = begun.err().expect("nobody says what it has");
    assert!(error.chain().contains(world.settings.output.to_str().unwrap()), "{}", error.chain());
    assert_eq!(world.files(), files);
    let fleet = world.fleet().await;
    assert_eq!(body(&world).await, "blue");
    assert!(fleet.status()[0].in_sync, "{:?}", fleet.status());
    let outcome = load.stop().await;
    assert_eq!(outcome.lost, Vec::<String>::new(), "of {}", outcome.sent);
}

/// A registry that is away.
struct Away;

fn away<T>() -> PortResult<T> {
    Err(PortError::new(Trouble::Unreachable, "ask the registry"))
}

#[async_trait]
impl Registry for Away {
    async fn read(&self, _: &ServiceName) -> PortResult<ServiceRecord> {
        away()
    }

    async fn read_all(&self) -> PortResult<BTreeMap<ServiceName, ServiceRecord>> {
        away()
    }

    async fn write(&self, _: &ServiceName, _: &ServiceRecord) -> PortResult<()> {
        away()
    }

    async fn replace(
        &self,
        _: &ServiceName,
        _: &ServiceRecord,
        _: &ServiceRecord,
    ) -> PortResult<()> {
        away()
    }

    async fn changes(&self) -> PortResult<BoxStream<'static, ()>> {
        away()
    }
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
    world.end(fleet).await;
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
            gives_up: None,
            generation: view.generation,
            rule: Some(view.rule.clone()),
            weights: BTreeMap::from([(live, 100), (live.other(), 0)]),
            releases: BTreeMap::new(),
        }),
        instances: of(Blue).chain(of(Green)).map(|e| (e.instance.task.clone(), e)).collect(),
    }
}
