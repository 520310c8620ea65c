//! Every verb of the command line against a real daemon, by its socket and by TCP with a token.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::commands::written;
use crate::doors::{Door, with_two_doors};
use crate::support::{Picture, Stack, World};

#[tokio::test(flavor = "multi_thread")]
async fn by_the_socket_and_by_tcp() {
    let Some((world, doors)) = with_two_doors().await else { return };
    for (number, door) in doors.iter().enumerate() {
        looks_before(&world, door).await;
        let sequence = (number + 1) * 10;
        follows_and_approves(&world, door, ["1.0", "2.0"][number], sequence);
        let before = world.settled().await;
        written(&world, &asking_a_person(&world, "3.0"));
        rejects_and_aborts(&world, door, &before).await;
        let (code, words) = door.run(&["deploy", "--sequence", &(sequence - 1).to_string()]);
        assert!(code == 31 && words.contains(&sequence.to_string()), "{words}");
        runs_out_of_time(&world, door, &before).await;
        vanishes(&world, door, &before).await;
        looks_around(door);
    }
}

fn asking_a_person(world: &World, edition: &str) -> Stack {
    world.books(edition).asking("approve", true).asking("drain", "1s")
}

/// What only looks changes nothing.
async fn looks_before(world: &World, door: &Door) {
    written(world, &asking_a_person(world, "3.0"));
    let before = world.settled().await;
    assert!(door.prints(0, &["check", "stack.yml"]).contains("good: stack.yml: books-ms"));
    let plan = door.json(&["plan"]);
    assert_eq!((&plan["service"], &plan["unchanged"]), (&json!("books-ms"), &json!(false)));
    assert_eq!(plan["problems"], json!([]));
    let words = door.prints(0, &["plan", "books-ms", "--image", &world.bed.image("books-ms:2.0")]);
    assert!(words.contains("switch") && words.contains("@sha256:"), "{words}");
    assert!(world.settled().await.compare(&before).is_empty());
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(door.prints(0, &["completions", shell]).contains("rollback"), "{shell}");
    }
}

/// Begun without waiting, followed by two others, approved by a third.
fn follows_and_approves(world: &World, door: &Door, edition: &str, sequence: usize) {
    written(world, &asking_a_person(world, edition));
    let mut watching = door.spawn("watched", &["watch", "books-ms"]);
    let id = door.begin(&["--sequence", &sequence.to_string(), "--deadline", "10m"]);
    let mut following = door.spawn("followed", &["logs", &id, "--follow"]);
    let (code, words) = door.run(&["deploy", "--image", &world.bed.image("books-ms:3.0")]);
    assert!(code == 30 && words.contains(&id[..8]), "{words}");
    door.prints(0, &["approve", "books-ms", "--by", "jane"]);
    assert_eq!(following.wait().unwrap().code(), Some(0), "{}", door.file("followed"));
    let view = door.json(&["show", "books-ms"]);
    assert_eq!((&view["id"], &view["sequence"]), (&json!(id), &json!(sequence)));
    assert_eq!(view["outcome"]["end"], "committed", "{view}");
    let begun = Instant::now();
    while !door.file("watched").contains("committed") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", door.file("watched"));
        std::thread::sleep(Duration::from_millis(20));
    }
    watching.kill().unwrap();
    watching.wait().unwrap();
    for told in [door.file("watched"), door.file("followed"), door.prints(0, &["logs", &id])] {
        for words in ["jane", "/health", "committed"] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains('\u{1b}'), "{told}");
    }
}

async fn rejects_and_aborts(world: &World, door: &Door, before: &Picture) {
    for (verb, more, words) in
        [("reject", &[][..], "rejected by john"), ("abort", &["--why", "not today"], "not today")]
    {
        let id = door.begin(&[]);
        door.prints(0, &[&[verb, &id, "--by", "john"], more].concat());
        let ended = door.spawn("ended", &["logs", &id, "--follow"]).wait().unwrap();
        assert!(ended.code().is_some(), "{}", door.file("ended"));
        let told = door.prints(0, &["show", &id]);
        assert!(told.contains(words) && told.contains("reverted"), "{told}");
        world.settles_as(before).await.unwrap_or_else(|difference| panic!("{verb}: {difference}"));
    }
}

/// The client's deadline, shorter than the stack file's; the report is written all the same.
async fn runs_out_of_time(world: &World, door: &Door, before: &Picture) {
    let tests = world.bed.image("books-ms-tests:1.0");
    let hanging = json!({ "container": { "image": tests, "env": { "TESTS_MODE": "hang" } } });
    written(world, &world.books("3.0").gate("pre_deployment", &[hanging]));
    let (code, words) = door.run(&["deploy", "--deadline", "3s", "--junit", "late.xml"]);
    assert_eq!(code, 40, "{words}");
    assert!(words.contains("deadline") && words.contains("reverted"), "{words}");
    assert!(door.file("late.xml").contains("<failure"), "{}", door.file("late.xml"));
    world.settles_as(before).await.unwrap_or_else(|difference| panic!("{difference}"));
}

/// `kill -9` of a client that asked for a revert in that case.
async fn vanishes(world: &World, door: &Door, before: &Picture) {
    written(world, &asking_a_person(world, "3.0"));
    let mut client = door.spawn("vanished", &["deploy", "--on-disconnect", "revert"]);
    let begun = Instant::now();
    let waiting = || door.json(&["status"])["services"][0]["deployment"]["phase"] == "waiting";
    while !waiting() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{}", door.file("vanished"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.kill().unwrap();
    client.wait().unwrap();
    world.settles_within(before, Duration::from_secs(40)).await;
    // What it left is gone a moment before it says that it has ended.
    let mut view = door.json(&["show", "books-ms"]);
    while view["outcome"].is_null() {
        assert!(begun.elapsed() < Duration::from_secs(120), "{view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        view = door.json(&["show", "books-ms"]);
    }
    assert_eq!(view["outcome"]["end"], "reverted", "{view}");
}

fn looks_around(door: &Door) {
    for proxy in ["nginx", "haproxy"] {
        let name = format!("edge-{proxy}");
        let rendered = door.prints(0, &["render", &name]);
        assert!(
            rendered.contains("books.example.com") || rendered.contains("books-ms"),
            "{rendered}"
        );
        assert!(!door.prints(0, &["render", &name, "--diff"]).contains("\n+"), "{name}");
    }
    let live = door.prints(0, &["colour", "books-ms"]);
    assert_eq!(live, door.prints(0, &["color", "books-ms"]));
    assert!(["blue\n", "green\n"].contains(&live.as_str()), "{live}");
    let instances = door.json(&["instances", "books-ms"]);
    assert_eq!(instances.as_array().map(Vec::len), Some(2), "{instances}");
    assert!(door.json(&["history", "books-ms"]).as_array().unwrap().len() >= 4);
    let status = door.prints(0, &["status", "books-ms"]);
    assert!(status.contains(live.trim()), "{status}");
    assert!(door.prints(0, &["doctor"]).contains("engine"));
}
