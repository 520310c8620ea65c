//! Whatever stands around the daemon ends and comes back; the daemon itself too.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use verdigris::deploy::control::RefusalKind;
use verdigris::model::Step;

use crate::commands::run;
use crate::support::daemon::Daemon;
use crate::support::world::request;
use crate::support::{Proxy, Registry, Traffic, World};

/// Long enough for a sweep of everything, hints or not.
const SWEEP: Duration = Duration::from_secs(15);

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
    // Who asks now wants to know more than ever.
    let (code, words) = run(&world, &["status"]);
    assert!(code == 0 && words.contains("edge") && words.contains("problem: "), "{code}: {words}");
    let (code, words) = run(&world, &["colour", "books-ms"]);
    assert_eq!((code, words.lines().next()), (0, Some("blue")), "{words}");
    let refused = world.submit(request(&world.books("2.0"))).await;
    if let Ok(submitted) = refused {
        let ended = world.end_of(submitted.deployment).await;
        assert_eq!(ended.exit(), 41, "{}", ended.story());
    } else {
        assert_eq!(refused.unwrap_err().kind, RefusalKind::Unreachable);
    }
    world.bed.testbed(&["consul", "start"]);
    world.settles_within(&before, SWEEP).await;
    world.bed.testbed(&["consul", "wipe"]);
    world.settles_within(&before, SWEEP + SWEEP).await;
    world.deploy(&world.books("3.0")).await.committed();
    traffic.end("Consul away, and wiped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proxies_that_end_come_back_with_the_right_colour() {
    let Some(mut world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    world.deploy(&world.books("2.0")).await.committed();
    for proxy in ["nginx", "haproxy"] {
        let other = if proxy == "nginx" { "haproxy" } else { "nginx" };
        let traffic = Traffic::through(&world, other, "books-ms");
        world.bed.testbed(&["proxy", proxy, "kill"]);
        world.bed.testbed(&["proxy", proxy, "start"]);
        world.until_answered(proxy, "green").await;
        traffic.end(&format!("{proxy} killed, by {other}")).await;
    }
    // Without the daemon there is nobody to mend anything: the files alone must do.
    world.daemon.kill();
    for proxy in ["nginx", "haproxy"] {
        world.bed.testbed(&["proxy", proxy, "restart"]);
        world.until_answered(proxy, "green").await;
    }
    world.daemon = Daemon::start(&world.home, &[]).await;
    world.deploy(&world.books("3.0")).await.committed();
    for proxy in ["nginx", "haproxy"] {
        world.until_answered(proxy, "blue").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_does_not_run_fails_the_deployment_and_nothing_moves() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    for proxy in ["nginx", "haproxy"] {
        let before = world.settled().await;
        let other = if proxy == "nginx" { "haproxy" } else { "nginx" };
        let traffic = Traffic::through(&world, other, "books-ms");
        world.bed.testbed(&["proxy", proxy, "stop"]);
        let ended = world.deploy(&world.books("2.0")).await;
        assert_eq!(ended.exit(), 13, "{proxy}: {}", ended.story());
        assert!(ended.told().contains(&format!("edge-{proxy}")), "{proxy}: {}", ended.told());
        world.bed.testbed(&["proxy", proxy, "start"]);
        world.settles_within(&before, SWEEP).await;
        world.until_answered(proxy, "blue").await;
        traffic.end(&format!("{proxy} stopped, by {other}")).await;
    }
    world.deploy(&world.books("3.0")).await.committed();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_that_ends_and_starts_again() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let before = world.settled().await;
    world.bed.testbed(&["engine", "1", "kill"]);
    let refused = world.submit(request(&world.books("2.0"))).await;
    if let Ok(submitted) = refused {
        let ended = world.end_of(submitted.deployment).await;
        assert_eq!(ended.exit(), 41, "{}", ended.story());
    }
    world.bed.testbed(&["engine", "1", "start"]);
    // Swarm starts new tasks on other ports: they are found and led to, with no help.
    for proxy in ["nginx", "haproxy"] {
        world.until_answered(proxy, "blue").await;
    }
    world.becomes_whole().await.unwrap();
    world.settles_as_but_for_containers(&before).await.unwrap();
    // From then on nothing may be lost.
    let traffic = Traffic::start(&world, "books-ms");
    world.deploy(&world.books("3.0")).await.committed();
    traffic.end("after the engine's end").await;
}

async fn instances_killed_one_by_one(registry: Registry) {
    let Some(world) = World::new(registry, Proxy::Both).await else { return };
    world.deploy(&world.books("1.0").with("/deploy/replicas", 3)).await.committed();
    let entries = match registry {
        Registry::Embedded => "row instances books-ms ",
        Registry::Consul | Registry::SecureConsul => "catalog books-ms ",
    };
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
            let registered = now.parts(entries).count();
            let new =
                now.parts(entries).any(|(id, _)| !before.parts(entries).any(|(old, _)| old == id));
            if back && registered == 3 && new {
                break;
            }
            let waited = begun.elapsed();
            assert!(waited < Duration::from_secs(40), "{registered} entries, {running} containers");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    traffic.end(&format!("instances killed one by one, {}", registry.word())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_killed_one_by_one_are_replaced_with_consul() {
    instances_killed_one_by_one(Registry::Consul).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_killed_one_by_one_are_replaced_with_the_embedded_registry() {
    instances_killed_one_by_one(Registry::Embedded).await;
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

    // One that is under way waits: nothing is done that the journal does not know.
    let stack = world.books("3.0").asking("approve", true);
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;
    let staged = world.settled().await;
    small.fill();
    world.approve(id).await;
    traffic.flow(Duration::from_secs(3)).await;
    world.settles_as(&staged).await.unwrap();
    small.free();
    world.end_of(id).await.committed();
    traffic.end("a full disk").await;
    world.daemon.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_cannot_be_written_is_named_and_traffic_goes_on() {
    let Some(mut world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    world.daemon.kill();
    let disk = world.on_a_small_disk();
    let before = world.settled().await;
    let traffic = Traffic::start(&world, "books-ms");
    disk.forbid_writing();
    let mut refused = Daemon::spawn(&world.home, &[]);
    let status = refused.ended().await;
    let words = refused.said();
    assert_eq!(status.code(), Some(2), "{words}");
    let last = words.lines().last().unwrap_or_default();
    assert!(words.contains("state"), "{words}");
    assert!(words.to_lowercase().contains("read-only"), "{last}");
    world.settles_as(&before).await.unwrap();
    disk.allow_writing();
    world.daemon = Daemon::start(&world.home, &[]).await;
    world.deploy(&world.books("2.0")).await.committed();
    traffic.end("a read-only disk").await;
    world.daemon.kill();
}

/// The files of a proxy as they stand, to be put back later.
fn files_of(world: &World, proxy: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = world.bed.directory().join(proxy);
    let file = if proxy == "nginx" { "nginx.conf" } else { "haproxy.cfg" };
    let mut files = vec![directory.join(file)];
    files.extend(["hosts.map"].map(|name| directory.join(name)).into_iter().filter(|f| f.exists()));
    files.into_iter().map(|file| (file.clone(), std::fs::read(file).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_comes_back_with_the_wrong_files_is_put_right() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    world.settled().await;
    for (proxy, edition, colour) in [("nginx", "2.0", "green"), ("haproxy", "3.0", "blue")] {
        let old = files_of(&world, proxy);
        world.deploy(&world.books(edition)).await.committed();
        let before = world.settled().await;
        let other = if proxy == "nginx" { "haproxy" } else { "nginx" };
        let traffic = Traffic::through(&world, other, "books-ms");
        world.bed.testbed(&["proxy", proxy, "kill"]);
        for (file, text) in old {
            std::fs::write(file, text).unwrap();
        }
        world.bed.testbed(&["proxy", proxy, "start"]);
        world.settles_within(&before, SWEEP).await;
        world.until_answered(proxy, colour).await;
        traffic.end(&format!("{proxy} with the wrong files, by {other}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_somebody_edits_is_put_right_and_said() {
    let Some(world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    let before = world.settled().await;
    let traffic = Traffic::start(&world, "books-ms");
    for proxy in ["nginx", "haproxy"] {
        for (file, text) in files_of(&world, proxy) {
            std::fs::write(&file, [&text[..], b"# mine\n"].concat()).unwrap();
        }
        world.settles_within(&before, SWEEP).await;
        let begun = Instant::now();
        loop {
            let said = format!("{:?}", world.client().status(None).await.unwrap().proxies);
            if said.contains("was changed by somebody else") {
                break;
            }
            assert!(begun.elapsed() < SWEEP, "{proxy}: {said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    traffic.end("edited by hand").await;
}
