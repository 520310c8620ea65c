//! The daemon's binary is replaced by another one in the middle of a deployment.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use verdigris::model::{Happening, Step};

use crate::support::daemon::{BINARY, Daemon};
use crate::support::world::request;
use crate::support::{Proxy, Registry, Traffic, World};

/// The daemon as another file, and with another content: nothing reads on after the end of the program.
fn another_binary(home: &Path) -> PathBuf {
    let path = home.join("verdigris-next");
    std::fs::copy(BINARY, &path).unwrap();
    let mut file = File::options().append(true).open(&path).unwrap();
    file.write_all(b"another version").unwrap();
    path
}

/// The daemon is asked to end, and `next` goes on on the same state directory.
async fn replaced(world: &mut World, next: &Path, traffic: &Traffic) {
    let status = world.daemon.stop().await;
    assert!(status.success(), "{status}:\n{}", world.daemon.said());
    traffic.flow(Duration::from_millis(500)).await;
    world.daemon = Daemon::start_as(next, &world.home, &[]).await;
    let runs = std::fs::read_link(format!("/proc/{}/exe", world.daemon.pid())).unwrap();
    assert_eq!(runs, next, "it is the other one that runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_binary_goes_on_with_a_deployment_that_commits_and_with_one_that_reverts() {
    let Some(mut world) = World::with_first(Registry::Embedded, Proxy::Both).await else { return };
    let next = another_binary(&world.home);
    // There and back: after an upgrade somebody may want the old one again.
    let mut binaries = [next.as_path(), Path::new(BINARY)].into_iter().cycle();
    let traffic = Traffic::start(&world, "books-ms");
    let stack = world
        .books("2.0")
        .gate("pre_integration", &[json!({ "command": ["sleep", "2"] })])
        .asking("stable_for", "1s")
        .asking("approve", true)
        .asking("bake", json!({ "for": "2s" }));
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    for step in [Step::Await, Step::PreIntegration, Step::Approve, Step::Bake, Step::Drain] {
        world.until_begun(id, step).await;
        replaced(&mut world, binaries.next().unwrap(), &traffic).await;
        if step == Step::Approve {
            world.approve(id).await;
        }
    }
    world.end_of(id).await.committed();
    for proxy in world.proxy.names() {
        world.until_answered(proxy, "green").await;
    }

    let before = world.at_rest().await;
    let bad = json!({ "http": { "path": "/api/v1/books", "body": "no such words" } });
    let stack = world.books("3.0").asking("approve", true).gate("post_integration", &[bad]);
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;
    replaced(&mut world, binaries.next().unwrap(), &traffic).await;
    world.approve(id).await;
    world.follow(id, |event| event.what == Happening::Undoing).await;
    replaced(&mut world, binaries.next().unwrap(), &traffic).await;
    let ended = world.end_of(id).await;
    assert_eq!(ended.exit(), 12, "{}", ended.story());
    world.settles_as(&before).await.unwrap_or_else(|difference| panic!("{difference}"));
    traffic.end("another binary").await;
}
