//! Whatever stands around the daemon ends and comes back; the daemon itself too.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use verdigris::deploy::control::RefusalKind;
use verdigris::model::Step;

use crate::support::daemon::Daemon;
use crate::support::world::request;
use crate::support::{Proxy, Registry, Traffic, World, curl};

/// Long enough for a sweep of everything, hints or not.
const SWEEP: Duration = Duration::from_secs(15);

/// Waits until both ports of a proxy are answered by `colour`.
async fn until_answered(world: &World, proxy: &str, colour: &str) {
    let ca = std::fs::read(world.bed.env("TESTBED_CA")).unwrap();
    for (scheme, port) in [("http", 80), ("https", 443)] {
        let address = SocketAddr::new(world.bed.address(proxy), port);
        let http = curl::public(&ca, "books.example.com", address);
        let url = format!("{scheme}://books.example.com/api/v1/books/version");
        let begun = Instant::now();
        loop {
            let answer = match http.get(&url).send().await {
                Ok(answer) if answer.status() == 200 => answer.text().await.unwrap_or_default(),
                Ok(answer) => answer.status().to_string(),
                Err(error) => format!("{error:?}"),
            };
            if answer.contains(&format!("\"{colour}\"")) {
                break;
            }
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(60), "{answer}\n{}", world.daemon.said());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_one_state_directory_refuses_and_names_the_first() {
    let Some(mut world) = World::new(Registry::Embedded, Proxy::Haproxy).await else { return };
    let home = crate::support::world::fresh_home();
    let config = std::fs::read_to_string(world.home.join("verdigris.toml")).unwrap();
    let other = config.replace("verdigris.sock", "other.sock");
    std::fs::write(home.join("verdigris.toml"), other).unwrap();
    let mut second = Daemon::spawn(&home, &[]);
    let status = second.ended().await;
    assert_eq!(status.code(), Some(2), "{}", second.said());
    let words = second.said();
    assert!(words.contains(&format!("process {}", world.daemon.pid())), "{words}");
    assert!(words.contains("state directory"), "{words}");
    assert!(world.daemon.runs());
    world.deploy(&world.books("1.0")).await.committed();
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_goes_on_without_the_daemon_and_through_its_end() {
    let Some(mut world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let traffic = Traffic::start(&world, "books-ms");
    let before = world.settled().await;
    let status = world.daemon.stop().await;
    assert!(status.success(), "{status}:\n{}", world.daemon.said());
    traffic.flow(Duration::from_secs(2)).await;
    world.daemon = Daemon::start(&world.home, &[]).await;
    world.settles_as(&before).await.unwrap();
    world.restart(&[]).await;
    world.settles_as(&before).await.unwrap();
    world.deploy(&world.books("2.0")).await.committed();
    traffic.end("without the daemon").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consul_that_ends_and_that_forgets_everything() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let before = world.settled().await;
    let traffic = Traffic::start(&world, "books-ms");
    world.bed.testbed(&["consul", "kill"]);
    traffic.flow(Duration::from_secs(3)).await;
    let refused = world.submit(request(&world.books("2.0"))).await;
    if let Ok(submitted) = refused {
        let ended = world.end_of(submitted.deployment).await;
        assert_eq!(ended.exit(), 41, "{}", ended.story());
    } else {
        assert_eq!(refused.unwrap_err().kind, RefusalKind::Unreachable);
    }
    world.bed.testbed(&["consul", "start"]);
    settles_within(&world, &before, SWEEP).await;
    world.bed.testbed(&["consul", "wipe"]);
    settles_within(&world, &before, SWEEP + SWEEP).await;
    world.deploy(&world.books("3.0")).await.committed();
    traffic.end("Consul away, and wiped").await;
}

async fn settles_within(world: &World, before: &crate::support::Picture, limit: Duration) {
    let begun = Instant::now();
    while let Err(difference) = world.settles_as(before).await {
        assert!(begun.elapsed() < limit, "not as before:\n{difference}\n{}", world.daemon.said());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_end_come_back_with_the_right_colour() {
    let Some(mut world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    world.deploy(&world.books("2.0")).await.committed();
    for proxy in ["nginx", "haproxy"] {
        world.bed.testbed(&["proxy", proxy, "kill"]);
        world.bed.testbed(&["proxy", proxy, "start"]);
        until_answered(&world, proxy, "green").await;
    }
    // Without the daemon there is nobody to mend anything: the files alone must do.
    world.daemon.kill();
    for proxy in ["nginx", "haproxy"] {
        world.bed.testbed(&["proxy", proxy, "restart"]);
        until_answered(&world, proxy, "green").await;
    }
    world.daemon = Daemon::start(&world.home, &[]).await;
    world.deploy(&world.books("3.0")).await.committed();
    for proxy in ["nginx", "haproxy"] {
        until_answered(&world, proxy, "blue").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_run_fails_the_deployment_and_nothing_moves() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    for proxy in ["nginx", "haproxy"] {
        let before = world.settled().await;
        world.bed.testbed(&["proxy", proxy, "stop"]);
        let ended = world.deploy(&world.books("2.0")).await;
        assert_eq!(ended.exit(), 13, "{proxy}: {}", ended.story());
        assert!(ended.told().contains(&format!("edge-{proxy}")), "{proxy}: {}", ended.told());
        world.bed.testbed(&["proxy", proxy, "start"]);
        settles_within(&world, &before, SWEEP).await;
        until_answered(&world, proxy, "blue").await;
    }
    world.deploy(&world.books("3.0")).await.committed();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_that_ends_and_starts_again() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    world.bed.testbed(&["engine", "1", "kill"]);
    let refused = world.submit(request(&world.books("2.0"))).await;
    if let Ok(submitted) = refused {
        let ended = world.end_of(submitted.deployment).await;
        assert_eq!(ended.exit(), 41, "{}", ended.story());
    }
    world.bed.testbed(&["engine", "1", "start"]);
    // Swarm starts new tasks on other ports: they are found and led to, with no help.
    for proxy in ["nginx", "haproxy"] {
        until_answered(&world, proxy, "blue").await;
    }
    world.deploy(&world.books("3.0")).await.committed();
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_killed_one_by_one_are_replaced() {
    let Some(world) = World::new(Registry::Consul, Proxy::Both).await else { return };
    world.deploy(&world.books("1.0").with("/deploy/replicas", 3)).await.committed();
    let traffic = Traffic::short(&world, "books-ms");
    for _ in 0..3 {
        let before = world.settled().await;
        let victim = before.parts("running ").next().unwrap().0.to_owned();
        let id = victim.split_whitespace().last().unwrap().to_owned();
        world.bed.docker(&["kill", &id]);
        let begun = Instant::now();
        loop {
            let now = world.picture().await;
            let running = now.parts("running ").count();
            let back = running == 3 && now.part(&format!("running {victim}")).is_none();
            let entries = now.parts("catalog books-ms ").count();
            let new = now
                .parts("catalog books-ms ")
                .any(|(id, _)| !before.parts("catalog books-ms ").any(|(old, _)| old == id));
            if back && entries == 3 && new {
                break;
            }
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(40), "{entries} entries, {running} containers");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    traffic.end("instances killed one by one").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_state_directory_refuses_deployments_and_nothing_else() {
    let Some(mut world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    world.daemon.kill();
    let small = world.on_a_small_disk();
    world.daemon = Daemon::start(&world.home, &[]).await;
    let traffic = Traffic::start(&world, "books-ms");
    let before = world.settled().await;
    small.fill();
    let refusal = world.submit(request(&world.books("2.0"))).await.unwrap_err();
    assert!(refusal.message.contains("disk is full"), "{refusal:?}");
    assert!(refusal.remedy.as_ref().is_some_and(|way| way.contains("make room")), "{refusal:?}");
    world.settles_as(&before).await.unwrap();
    small.free();
    world.deploy(&world.books("3.0")).await.committed();
    traffic.end("a full disk").await;
    world.daemon.kill();
}

/// Waits until as many instances are registered as containers run, `count` of a colour.
async fn until_replaced(world: &World, victim: &str, colour: &str, count: usize) {
    let begun = Instant::now();
    loop {
        let now = world.picture().await;
        let of = |start: &str, mark: &str| {
            now.parts(start).filter(|(name, text)| format!("{name} {text}").contains(mark)).count()
        };
        let running = of("running ", &format!("books-ms-{colour} "));
        let entries = of("catalog books-ms ", &format!("verdigris-books-ms-{colour}-"));
        let gone = now.part(victim).is_none();
        if gone && running == count && entries == count {
            return;
        }
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(40), "{running} run, {entries} are registered");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_instance_is_replaced_in_mid_deployment_and_reverting_does_not_lose_it() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let traffic = Traffic::short(&world, "books-ms");
    let because = verdigris::api::Because { by: "tester".to_owned(), why: String::new() };
    for commits in [false, true] {
        let before = world.settled().await;
        let stack = world.books("2.0").asking("approve", true);
        let id = world.submit(request(&stack)).await.unwrap().deployment;
        world.until_begun(id, Step::Approve).await;
        let (name, _) = before.parts("running books-ms-blue").next().unwrap();
        let victim = format!("running books-ms-blue{name}");
        world.bed.docker(&["kill", name.trim()]);
        until_replaced(&world, &victim, "blue", 2).await;
        if commits {
            world.client().approve(id, &because).await.unwrap();
            world.end_of(id).await.committed();
        } else {
            world.client().reject(id, &because).await.unwrap();
            assert_eq!(world.end_of(id).await.exit(), 32);
            until_replaced(&world, &victim, "blue", 2).await;
            let after = world.settled().await;
            let difference = before.without_containers().compare(&after.without_containers());
            assert_eq!(difference, "");
        }
        let colour = if commits { "green" } else { "blue" };
        for proxy in ["nginx", "haproxy"] {
            until_answered(&world, proxy, colour).await;
        }
    }
    traffic.end("a live instance replaced in mid-deployment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revert_needs_no_registry_of_images() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Haproxy).await else { return };
    world.deploy(&world.books("2.0").asking("retain", serde_json::json!({}))).await.committed();
    let before = world.settled().await;
    let traffic = Traffic::start(&world, "books-ms");
    let stack = world.books("3.0").asking("approve", true);
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;
    world.bed.testbed(&["registry", "kill"]);
    let because = verdigris::api::Because { by: "tester".to_owned(), why: String::new() };
    world.client().reject(id, &because).await.unwrap();
    assert_eq!(world.end_of(id).await.exit(), 32);
    let difference = world.settles_as_but_for_containers(&before).await;
    difference.unwrap_or_else(|difference| panic!("{difference}"));
    let two = |picture: &crate::support::Picture, colour: &str| {
        picture.parts(&format!("running books-ms-{colour}")).count() == 2
    };
    let after = world.settled().await;
    assert!(two(&after, "blue") && two(&after, "green"), "both colours run again");
    traffic.end("no registry of images").await;
}
