//! A deployment that cannot be undone is stuck: it says so, alerts whoever is to know, holds up nobody
//! else, and ends once the obstacle is gone, by itself or when it is told to.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use verdigris::api::Because;
use verdigris::model::{Colour, DeploymentId, ExitCode, Happening, Outcome, Step};

use crate::commands::run;
use crate::support::receiver::Receiver;
use crate::support::world::{Ended, request};
use crate::support::{Picture, Proxy, Registry, Stack, Traffic, World};

/// What is stuck looks every ten seconds whether it still is, and then has to finish.
const BY_ITSELF: Duration = Duration::from_secs(20);

/// What the service that is not stuck is called.
const OTHER: &str = "shop";

/// A file that cannot be removed as long as this is there: something is mounted on it.
struct Pinned(PathBuf);

impl Pinned {
    fn at(file: PathBuf) -> Self {
        mount(&["mount", "--bind"], &[&file, &file]);
        Self(file)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        mount(&["umount", "-l"], &[&self.0]);
    }
}

fn mount(command: &[&str], places: &[&Path]) {
    let status = Command::new(command[0]).args(&command[1..]).args(places).status().unwrap();
    assert!(status.success(), "{command:?} {places:?}: {status}");
}

/// A daemon that tells `receiver` what is stuck and what has ended.
async fn alerting(receiver: &Receiver) -> Option<World> {
    let url = receiver.url();
    let notify = format!("\n[[notify]]\nurl = \"{url}\"\nevents = [\"stuck\", \"reverted\"]\n");
    World::with(Registry::Consul, Proxy::Both, |config| config + &notify).await
}

fn other(world: &World, edition: &str) -> Stack {
    Stack::new(OTHER, &world.bed.image(&format!("books-ms:{edition}")))
}

/// Everything but the other service, and but the files that tell of both.
fn without_the_other(picture: &Picture) -> Picture {
    let both = ["file nginx/nginx.conf", "file haproxy/haproxy.cfg", "file haproxy/hosts.map"];
    picture.only(|name| !name.contains(OTHER) && !both.contains(&name))
}

/// Waits until `id` is stuck; the problem, as it is told to whoever follows.
async fn stuck(world: &World, id: DeploymentId, at: Step) -> String {
    let events = world.follow(id, |event| matches!(event.what, Happening::Stuck { .. })).await;
    let Some(Happening::Stuck { problem }) = events.last().map(|event| &event.what) else {
        panic!("not stuck: {events:#?}");
    };
    assert_eq!(problem.step, at, "{problem:#?}");
    assert!(problem.details.iter().any(|line| line.contains("still to be undone")), "{problem:#?}");
    let view = world.client().deployment(id).await.unwrap();
    let outcome = view.outcome.expect("whoever waits for it is told");
    assert_eq!(outcome.exit_code(), ExitCode::Stuck, "{outcome:?}");
    problem.message.clone()
}

/// The `number`th notice is the alert that `id` is stuck: what is wrong, and what a person can do.
async fn alerted(receiver: &Receiver, number: usize, id: DeploymentId, problem: &str) {
    let post = receiver.gets(number).await.remove(number - 1);
    assert_eq!(post.body["occasion"], "stuck", "{post:?}");
    assert_eq!(post.body["deployment"]["id"], id.to_string(), "{post:?}");
    let text = post.body["text"].as_str().unwrap();
    assert!(text.contains(problem), "`{problem}` is not told: {text}");
    assert!(text.contains(&format!("verdigris retry {id}")), "{text}");
}

/// Another service is deployed and committed, with no request to it lost.
async fn another_is_deployed(world: &World, edition: &str) {
    let traffic = Traffic::start(world, OTHER);
    world.deploy(&other(world, edition)).await.committed();
    traffic.end(&format!("{OTHER} {edition}, beside a stuck one")).await;
}

/// It has ended as `exit`, and all is as `before`.
async fn has_left(world: &World, before: &Picture, ended: &Ended, exit: u8) {
    assert_eq!(ended.exit(), exit, "{}", ended.story());
    let begun = Instant::now();
    let before = without_the_other(before);
    loop {
        let difference = before.compare(&without_the_other(&world.picture().await));
        if difference.is_empty() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{difference}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for proxy in world.proxy.names() {
        let rendered = world.client().render(&format!("edge-{proxy}")).await.unwrap();
        assert!(!rendered.differs, "{proxy}: {rendered:?}");
        world.until_answered(proxy, "green").await;
    }
}

/// The Swarm's part: while a person thinks about it, the colour's Swarm service becomes somebody else's.
async fn its_name_is_taken(world: &World, receiver: &Receiver) {
    let before = world.settled().await;
    let stack = world.books("3.0").asking("approve", true);
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Approve).await;
    world.bed.docker(&["service", "rm", "books-ms-blue"]);
    let theirs = ["service", "create", "--detach", "--no-resolve-image", "--replicas", "0"];
    let name = ["--name", "books-ms-blue", "somebody-elses"];
    world.bed.docker(&[&theirs[..], &name[..]].concat());
    world.reject(id).await;
    let problem = stuck(world, id, Step::Start).await;
    assert!(problem.contains("made by somebody else"), "{problem}");
    alerted(receiver, 1, id, &problem).await;
    another_is_deployed(world, "2.0").await;
    let view = world.client().deployment(id).await.unwrap();
    assert!(matches!(view.outcome, Some(Outcome::Stuck { .. })), "{view:#?}");

    world.bed.docker(&["service", "rm", "books-ms-blue"]);
    let begun = Instant::now();
    let ended = world.end_of(id).await;
    assert!(begun.elapsed() < BY_ITSELF, "by itself after {:?}", begun.elapsed());
    has_left(world, &before, &ended, 32).await;
    assert_eq!(receiver.occasions(2).await, ["stuck", "reverted"]);
}

/// The flag by which the configuration of nginx leads `service` to `colour`.
fn flag(nginx: &Path, service: &str, colour: Colour) -> PathBuf {
    let config = std::fs::read_to_string(nginx.join("nginx.conf")).unwrap();
    let mut flags =
        std::fs::read_dir(nginx.join("flags")).unwrap().map(|entry| entry.unwrap().path());
    let is_wanted = |flag: &PathBuf| {
        let name = flag.file_name().unwrap().to_string_lossy();
        name.starts_with(&format!("{service}."))
            && name.ends_with(&format!(".{colour}"))
            && config.contains(&format!("flags/{name}\""))
    };
    flags.find(is_wanted).unwrap_or_else(|| panic!("nothing leads {service} to {colour}"))
}

/// A proxy's part: the flag of the new colour cannot be removed.
async fn its_flag_stays(world: &World, receiver: &Receiver) {
    let before = world.settled().await;
    let stack = world.books("3.0").asking("bake", json!({ "for": "60s" }));
    let id = world.submit(request(&stack)).await.unwrap().deployment;
    world.until_begun(id, Step::Bake).await;
    let pinned = Pinned::at(flag(&world.bed.directory().join("nginx"), "books-ms", Colour::Blue));
    let because = Because { by: "tester".to_owned(), why: String::new() };
    world.client().abort(id, &because).await.unwrap();
    let said = stuck(world, id, Step::Switch);
    let (problem, ()) = tokio::join!(said, another_is_deployed(world, "3.0"));
    assert!(problem.contains("edge-nginx"), "{problem}");
    alerted(receiver, 3, id, &problem).await;

    // It has just been said, so it is not about to be tried again by itself.
    drop(pinned);
    let (code, words) = run(world, &["retry", "books-ms"]);
    assert_eq!(code, 0, "{words}");
    let ended = world.end_of(id).await;
    let last = |wanted: fn(&Happening) -> bool| {
        ended.events.iter().rposition(|event| wanted(&event.what)).unwrap()
    };
    let retried = last(|what| matches!(what, Happening::Retried { .. }));
    assert!(retried > last(|what| matches!(what, Happening::Stuck { .. })), "{}", ended.story());
    has_left(world, &before, &ended, 50).await;
    let told = receiver.occasions(4).await;
    assert_eq!(told, ["stuck", "reverted", "stuck", "reverted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_affects_nobody_else_and_ends_once_its_obstacle_is_gone() {
    let receiver = Receiver::start().await;
    let Some(world) = alerting(&receiver).await else { return };
    // What was there before, and is to be put back, is a colour that was kept.
    world.deploy(&world.books("1.0")).await.committed();
    let kept = world.books("2.0").asking("retain", json!({ "scale": 0 }));
    world.deploy(&kept).await.committed();
    world.deploy(&other(&world, "1.0")).await.committed();
    let traffic = Traffic::start(&world, "books-ms");
    its_name_is_taken(&world, &receiver).await;
    its_flag_stays(&world, &receiver).await;
    traffic.end("stuck twice").await;
}
