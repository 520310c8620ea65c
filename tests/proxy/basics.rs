//! Stage, flip, restore, retire, refresh, restart.

use std::collections::BTreeMap;
use std::time::Duration;

use rstest::rstest;
use verdigris::deploy::ports::{Answers, Proxies};
use verdigris::model::Colour::{Blue, Green};
use verdigris::proxy::Kind;

use crate::backend::Instance;
use crate::client::{Load, get};
use crate::world::{HOST, World, body, deploy, name, reloads, view, within, world};

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn deployments_under_load_lose_nothing(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    assert_eq!(fleet.status()[0].problem, None);
    let mut live = Instance::start("release-0").await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[live.backend()]).await;
    let load = Load::start(world.http(), HOST, 3, 3);
    let before = reloads(&fleet);
    let mut colour = Blue;
    for release in 1..=6 {
        let next = Instance::start(&format!("release-{release}")).await;
        let view = view("books", HOST, Some(colour));
        fleet.stage(&view, colour.other(), &[next.backend()]).await.unwrap();
        assert_eq!(body(&world).await, live.name, "staging has no public effect");
        fleet.flip(&name("books"), colour.other(), release).await.unwrap();
        assert_eq!(body(&world).await, next.name);
        within(10, fleet.drained(&name("books"), colour)).await.unwrap();
        live.kill().await;
        fleet.retire(&name("books"), colour).await.unwrap();
        (live, colour) = (next, colour.other());
    }
    let outcome = load.stop().await;
    assert!(outcome.sent > 200, "{}", outcome.sent);
    assert_eq!(outcome.lost, Vec::<String>::new(), "of {}", outcome.sent);
    let expected = if kind == Kind::Nginx { 6 } else { 0 };
    assert_eq!(reloads(&fleet) - before, expected);
    assert!(fleet.status()[0].in_sync, "{:?}", fleet.status());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_leaves_files_byte_for_byte(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
    #[values(false, true)] flipped: bool,
    #[values(false, true)] retained: bool,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    let old = Instance::start("old").await;
    deploy(&fleet, &view("books", HOST, None), Green, &[old.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Green)), Blue, &[blue.backend()]).await;
    if !retained {
        fleet.retire(&name("books"), Green).await.unwrap();
    }
    fleet.refresh(&name("books"), Blue, &[blue.backend()]).await.unwrap();
    let snapshot = fleet.snapshot(&name("books")).await.unwrap();
    let files = world.files();
    let load = Load::start(world.http(), HOST, 2, 2);
    fleet.stage(&view("books", HOST, Some(Blue)), Green, &[green.backend()]).await.unwrap();
    assert_ne!(world.files(), files);
    if flipped {
        fleet.flip(&name("books"), Green, 7).await.unwrap();
        assert_eq!(body(&world).await, "green");
    }
    let before = reloads(&fleet);
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!(body(&world).await, "blue");
    assert_eq!(world.files(), files);
    assert_eq!(fleet.snapshot(&name("books")).await.unwrap(), snapshot);
    assert_eq!(reloads(&fleet), before, "a revert reloads nothing");
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!(world.files(), files, "again changes nothing");
    assert_eq!(load.stop().await.lost, Vec::<String>::new());
}

/// As after a sleep in which somebody else deployed: the colour to lead to is another one, with
/// instances that were news a moment ago. nginx does not reload for those of an idle colour.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_brings_instances_before_requests(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, stale) = (Instance::start("blue").await, Instance::start("stale").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.stage(&view("books", HOST, Some(Blue)), Green, &[stale.backend()]).await.unwrap();
    stale.kill().await;
    let green = Instance::start("green").await;
    fleet.refresh(&name("books"), Green, &[green.backend()]).await.unwrap();
    let mut wanted = fleet.snapshot(&name("books")).await.unwrap();
    wanted.values_mut().flatten().for_each(|view| view.live = Some(Green));
    let load = Load::start(world.http(), HOST, 2, 2);
    fleet.restore(&name("books"), &wanted).await.unwrap();
    assert_eq!(body(&world).await, "green");
    assert_eq!(load.stop().await.lost, Vec::<String>::new());
    assert_eq!(fleet.snapshot(&name("books")).await.unwrap(), wanted);
}

/// The same where the keeper was never told of any instance of the colour to lead to.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_leads_nobody_to_a_colour_that_is_not_there_yet(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let mut wanted = fleet.snapshot(&name("books")).await.unwrap();
    for view in wanted.values_mut().flatten() {
        view.live = Some(Green);
        view.backends.insert(Green, vec![green.backend()]);
    }
    let load = Load::start(world.http(), HOST, 2, 2);
    fleet.restore(&name("books"), &wanted).await.unwrap();
    assert_eq!(body(&world).await, "green");
    assert_eq!(load.stop().await.lost, Vec::<String>::new());
    assert_eq!(fleet.snapshot(&name("books")).await.unwrap(), wanted);
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_first_release_is_reverted_to_nothing(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
    #[values(false, true)] flipped: bool,
) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let blue = Instance::start("blue").await;
    let (files, snapshot) = (world.files(), fleet.snapshot(&name("books")).await.unwrap());
    assert_eq!(snapshot, BTreeMap::from([(format!("edge-{kind}"), None)]));
    fleet.stage(&view("books", HOST, None), Blue, &[blue.backend()]).await.unwrap();
    assert_eq!(get(world.http(), HOST, "/").await.unwrap().status, 503);
    if flipped {
        fleet.flip(&name("books"), Blue, 1).await.unwrap();
        assert_eq!(body(&world).await, "blue");
    }
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!(world.files(), files);
    let status = get(world.http(), HOST, "/").await.unwrap().status;
    assert!([503, 421].contains(&status), "{status}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_restarts_comes_back_right(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
    #[values(false, true)] settled: bool,
) {
    let mut world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    if settled {
        fleet.retire(&name("books"), Blue).await.unwrap();
    }
    world.stop_proxy();
    world.start_proxy();
    assert_eq!(body(&world).await, "green");
    let next = Instance::start("next").await;
    deploy(&fleet, &view("books", HOST, Some(Green)), Blue, &[next.backend()]).await;
    assert_eq!(body(&world).await, "next");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a_keeper_that_restarts_knows_what_it_did(
    #[values(Kind::Nginx, Kind::Haproxy)] kind: Kind,
) {
    let world = world!(kind);
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    let fleet = world.fleet().await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.stage(&view("books", HOST, Some(Blue)), Green, &[green.backend()]).await.unwrap();
    let snapshot = fleet.snapshot(&name("books")).await.unwrap();
    let secret = fleet.doors()[0].probe.clone();
    drop(fleet);
    let fleet = world.fleet().await;
    assert_eq!(fleet.snapshot(&name("books")).await.unwrap(), snapshot);
    assert_eq!(fleet.doors()[0].probe, secret);
    assert_eq!(reloads(&fleet), 0);
    fleet.flip(&name("books"), Green, 2).await.unwrap();
    // Before anything was settled.
    drop(fleet);
    let fleet = world.fleet().await;
    assert_eq!(body(&world).await, "green");
    let view = fleet.snapshot(&name("books")).await.unwrap()[&world.settings.name].clone();
    assert_eq!(view.unwrap().live, Some(Green));
    assert_eq!(reloads(&fleet), 0);
}

/// A dropped keeper's end and the start of the next one used to overlap: the next one missed its
/// socket, rendered without it, and reloaded.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn keepers_of_one_proxy_do_not_overlap(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let blue = Instance::start("blue").await;
    let fleet = world.fleet().await;
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    fleet.retire(&name("books"), Green).await.unwrap();
    let files = world.files();
    drop(fleet);
    for _ in 0..50 {
        let fleet = world.fleet().await;
        let status = &fleet.status()[0];
        assert_eq!((status.problem.as_deref(), status.reloads), (None, 0));
        assert_eq!(world.files(), files);
        assert!(kind == Kind::Haproxy || world.path("flags/answers.sock").exists());
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn instances_that_are_replaced_are_served(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (one, two) = (Instance::start("one").await, Instance::start("two").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[one.backend(), two.backend()]).await;
    let load = Load::start(world.http(), HOST, 2, 2);
    let three = Instance::start("three").await;
    one.kill().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    fleet.refresh(&name("books"), Blue, &[two.backend(), three.backend()]).await.unwrap();
    two.kill().await;
    assert_eq!(body(&world).await, "three");
    // An empty answer takes nobody's last instance away.
    fleet.refresh(&name("books"), Blue, &[]).await.unwrap();
    assert_eq!(body(&world).await, "three");
    let problem = fleet.status()[0].problem.clone().unwrap();
    assert!(problem.contains("`books` has no instance any more as blue"), "{problem}");
    fleet.refresh(&name("books"), Blue, &[three.backend()]).await.unwrap();
    assert_eq!(fleet.status()[0].problem, None);
    assert_eq!(load.stop().await.lost, Vec::<String>::new());
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn many_instances_find_room(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let mut instances = Vec::new();
    for index in 0..9 {
        instances.push(Instance::start(&format!("many-{index}")).await);
    }
    let backends: Vec<_> = instances.iter().map(Instance::backend).collect();
    deploy(&fleet, &view("books", HOST, None), Blue, &backends[..1]).await;
    fleet.refresh(&name("books"), Blue, &backends).await.unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        seen.insert(body(&world).await);
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
    let before = reloads(&fleet);
    fleet.refresh(&name("books"), Blue, &backends[7..]).await.unwrap();
    if kind == Kind::Haproxy {
        assert_eq!(reloads(&fleet), before, "fewer instances cost no reload");
    }
    for instance in &instances[..7] {
        instance.kill().await;
    }
    for _ in 0..10 {
        assert!(["many-7", "many-8"].contains(&body(&world).await.as_str()));
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn drained_waits_for_the_last_request(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let address = world.http();
    let slow = tokio::spawn(async move { get(address, HOST, "/held").await });
    while blue.active() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    let books = name("books");
    let early = tokio::time::timeout(Duration::from_millis(700), fleet.drained(&books, Blue));
    assert!(early.await.is_err(), "a request is under way");
    assert_eq!(blue.active(), 1);
    blue.release();
    within(10, fleet.drained(&books, Blue)).await.unwrap();
    assert_eq!(blue.active(), 0);
    assert_eq!(slow.await.unwrap().unwrap().body, "blue");
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_counted_by_colour(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    let books = name("books");
    let before = fleet.answers(&books, Green).await.unwrap();
    for status in [200, 200, 404, 500, 503] {
        green.answer(status);
        assert_eq!(get(world.http(), HOST, "/").await.unwrap().status, status);
    }
    let count = async || {
        let now = fleet.answers(&books, Green).await.unwrap();
        Answers { total: now.total - before.total, errors: now.errors - before.errors }
    };
    // nginx's datagrams may take a moment.
    for _ in 0..100 {
        if count().await.total == 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count().await, Answers { total: 5, errors: 2 });
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_is_kept_aside(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    let world = world!(kind);
    let found = std::fs::read(&world.settings.output).unwrap();
    let name = world.settings.output.file_name().unwrap().to_str().unwrap();
    for _ in 0..2 {
        let fleet = world.fleet().await;
        assert!(fleet.status()[0].in_sync);
        assert_ne!(std::fs::read(&world.settings.output).unwrap(), found);
        assert_eq!(std::fs::read(world.path(&format!("{name}.before-verdigris"))).unwrap(), found);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_kinds_at_once() {
    let (nginx, haproxy) = (world!(Kind::Nginx), world!(Kind::Haproxy));
    let settings = vec![nginx.settings.clone(), haproxy.settings.clone()];
    let fleet = verdigris::proxy::Fleet::start(settings, &nginx.registry).await.unwrap();
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    deploy(&fleet, &view("books", HOST, None), Blue, &[blue.backend()]).await;
    let snapshot = fleet.snapshot(&name("books")).await.unwrap();
    assert_eq!(snapshot.keys().collect::<Vec<_>>(), ["edge-haproxy", "edge-nginx"]);
    deploy(&fleet, &view("books", HOST, Some(Blue)), Green, &[green.backend()]).await;
    assert_eq!((body(&nginx).await, body(&haproxy).await), ("green".into(), "green".into()));
    fleet.restore(&name("books"), &snapshot).await.unwrap();
    assert_eq!((body(&nginx).await, body(&haproxy).await), ("blue".into(), "blue".into()));
    let doors = fleet.doors();
    assert_eq!((doors[0].http, doors[1].http), (nginx.settings.http, haproxy.settings.http));
    assert_ne!(doors[0].probe, doors[1].probe);
}

/// Prints what many services cost; `cargo test --test proxy many_services -- --ignored --nocapture`.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a while; for figures"]
async fn many_services(#[values(Kind::Nginx, Kind::Haproxy)] kind: Kind) {
    const MANY: usize = 1000;
    let world = world!(kind);
    let fleet = world.fleet().await;
    let (blue, green) = (Instance::start("blue").await, Instance::start("green").await);
    let services: Vec<_> = (0..MANY)
        .map(|index| view(&format!("svc-{index}"), &format!("svc-{index}.example.com"), None))
        .collect();
    let backends = [blue.backend()];
    let started = std::time::Instant::now();
    let staged = services.iter().map(|view| fleet.stage(view, Blue, &backends));
    for staged in futures_util::future::join_all(staged).await {
        staged.unwrap();
    }
    eprintln!("{kind}: {MANY} staged in {:?}, {} reloads", started.elapsed(), reloads(&fleet));
    let started = std::time::Instant::now();
    for view in &services {
        fleet.flip(&view.service, Blue, 1).await.unwrap();
    }
    eprintln!("{kind}: flipped in {:?} each", started.elapsed() / 1000);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut one = services[500].clone();
    one.live = Some(Blue);
    for (act, colour, backend) in [("new", Green, green.backend()), ("back", Blue, blue.backend())]
    {
        let started = std::time::Instant::now();
        fleet.stage(&one, colour, &[backend]).await.unwrap();
        let staged = started.elapsed();
        fleet.flip(&one.service, colour, 2).await.unwrap();
        eprintln!(
            "{kind}: {act}: staged {staged:?}, flipped {:?}",
            started.elapsed().saturating_sub(staged)
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert!(fleet.status()[0].in_sync, "{:?}", fleet.status());
}
