//! Swarm puts an instance of the live colour elsewhere, in the middle of each step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::json;
use verdigris::model::Step;

use crate::mid_deployment::replaced;
use crate::support::world::request;
use crate::support::{Proxy, Registry, Stack, Traffic, World};

/// A release of which every step waits for something; one that does not commit fails when it is public.
fn stack(world: &World, step: Step, commits: bool) -> Stack {
    let passes = json!({ "command": ["true"] });
    let fails = json!({ "http": { "path": "/api/v1/books", "body": "no such words" } });
    let stack = world
        .books("2.0")
        .set("STEP", step.as_str())
        .with("/deploy/restart_policy", json!({ "delay": "0s" }))
        .gate("pre_deployment", &[passes])
        .asking("drain", "2s");
    if commits {
        stack.asking("bake", json!({ "for": "1s" }))
    } else {
        stack.gate("post_integration", &[fails])
    }
}

/// The tasks whose containers run, as the engine tells.
fn tasks(world: &World) -> BTreeSet<String> {
    let label = r#"{{.Label "com.docker.swarm.task.id"}}"#;
    world.bed.docker(&["ps", "--format", label]).lines().map(str::to_owned).collect()
}

/// Waits until both proxies are told to lead to every instance, wherever it is now.
async fn all_are_led_to(world: &World, what: &str) {
    let begun = Instant::now();
    loop {
        let now = world.picture().await;
        let registered: BTreeMap<String, &str> = now
            .parts("row instances books-ms ")
            .map(|(task, row)| (task.to_owned(), row.lines().nth(1).unwrap()))
            .collect();
        let files = ["file nginx/nginx.conf", "file haproxy/haproxy.cfg"];
        let texts = files.map(|file| now.part(file).unwrap());
        let led = registered.values().all(|at| texts.iter().all(|text| text.contains(at)));
        let known: BTreeSet<String> = registered.keys().cloned().collect();
        let running = tasks(world);
        if led && running.len() == 2 && running == known {
            return;
        }
        let waited = begun.elapsed();
        assert!(
            waited < Duration::from_secs(15),
            "{what}: of {running:?} are registered {registered:?}, led to: {led}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_instance_is_replaced_in_the_middle_of_each_step() {
    let Some(world) = World::new(Registry::Embedded, Proxy::Both).await else { return };
    let first = world.books("1.0").with("/deploy/restart_policy", json!({ "delay": "0s" }));
    world.deploy(&first).await.committed();
    let traffic = Traffic::short(&world, "books-ms");
    let (mut live, mut idle) = ("blue", "green");
    for (step, commits) in [
        (Step::Prepare, false),
        (Step::PreDeployment, true),
        (Step::Start, false),
        (Step::Await, true),
        (Step::Register, false),
        (Step::Stage, true),
        (Step::PreIntegration, false),
        (Step::Switch, false),
        (Step::PostIntegration, false),
        (Step::Bake, true),
        (Step::Commit, true),
        (Step::Drain, true),
    ] {
        let before = world.at_rest().await;
        let id = world.submit(request(&stack(&world, step, commits))).await.unwrap().deployment;
        world.until_begun(id, step).await;
        world.daemon.pause();
        replaced(&world, live).await;
        world.daemon.resume();
        let ended = world.end_of(id).await;
        if commits {
            ended.committed();
            std::mem::swap(&mut live, &mut idle);
        } else {
            assert_eq!(ended.exit(), 12, "{step}: {}", ended.story());
            let difference = world.settles_as_but_for_containers(&before).await;
            difference.unwrap_or_else(|difference| panic!("{step}: {difference}"));
        }
        world.becomes_whole().await.unwrap_or_else(|why| panic!("{step}: {why}"));
        all_are_led_to(&world, step.as_str()).await;
        for proxy in world.proxy.names() {
            world.until_answered(proxy, live).await;
        }
    }
    traffic.end("a live instance replaced at each step").await;
}
