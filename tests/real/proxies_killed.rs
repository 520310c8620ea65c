//! A proxy is killed in the middle of a step, and comes back when the deployment has ended.

use std::time::Duration;

use serde_json::json;
use verdigris::model::{Outcome, Step};

use crate::support::world::{Ended, request};
use crate::support::{Proxy, Registry, Traffic, World};

/// Long enough for a sweep of everything, hints or not.
const SWEEP: Duration = Duration::from_secs(15);

/// Deploys, with `proxy` killed within `step`: the daemon stands still meanwhile.
async fn killed_within(world: &World, proxy: &str, step: Step) -> Ended {
    let stack = world
        .books("2.0")
        .set("KILLED", &format!("{proxy} in {step}"))
        // Nothing is switched before the proxy is dead where it dies while it is staged.
        .gate("pre_integration", &[json!({ "command": ["sleep", "1"] })])
        .asking("drain", "3s");
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, step).await;
    world.daemon.pause();
    world.bed.testbed(&["proxy", proxy, "kill"]);
    world.daemon.resume();
    world.end_of(id).await
}

/// The exit codes with which it may end. A step may be done by the time at which the daemon stands still:
/// then the next that asks the proxy misses it, and after the commit there is only forward.
fn exits(step: Step) -> &'static [u8] {
    match step {
        Step::Stage => &[12, 13],
        Step::Switch | Step::PostIntegration => &[0, 12, 13],
        _ => &[0],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deployment_reverts_or_goes_on_and_the_proxy_comes_back_with_the_right_colour() {
    let Some(world) = World::with_first(Registry::Consul, Proxy::Both).await else { return };
    let (mut live, mut idle) = ("blue", "green");
    for step in [Step::Stage, Step::Switch, Step::PostIntegration, Step::Drain] {
        for (proxy, other) in [("nginx", "haproxy"), ("haproxy", "nginx")] {
            let what = format!("{proxy} killed in {step}");
            let before = world.at_rest().await;
            let traffic = Traffic::through(&world, other, "books-ms");
            let ended = killed_within(&world, proxy, step).await;
            assert!(exits(step).contains(&ended.exit()), "{what}: {}", ended.story());
            if ended.outcome() == &Outcome::Committed {
                std::mem::swap(&mut live, &mut idle);
            } else {
                assert!(ended.told().contains(&format!("edge-{proxy}")), "{}", ended.told());
                // The files of the dead one too.
                world.settles_within(&before, SWEEP).await;
            }
            world.bed.testbed(&["proxy", proxy, "start"]);
            // Its files alone decide what it answers at first.
            for answer in world.answers(proxy).await {
                assert!(answer.contains(&format!("\"{live}\"")), "{what}: {answer}");
            }
            if ended.outcome() != &Outcome::Committed {
                world.settles_within(&before, SWEEP).await;
            }
            world.becomes_whole().await.unwrap_or_else(|why| panic!("{what}: {why}"));
            traffic.end(&format!("{what}, by {other}")).await;
        }
    }
}
