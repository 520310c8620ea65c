//! Broken releases, in each of the ways in which releases are broken: the right exit code, a message
//! that says what, where and why, and an environment equal to the one before. All under load.

use serde_json::{Value, json};
use verdigris::model::{Outcome, Step};

use crate::support::{Proxy, Registry, Stack, Traffic, World};

/// One way to be broken.
struct Case {
    name: &'static str,
    /// What it does to the stack file.
    breaks: fn(Stack, &World) -> Stack,
    exit: u8,
    step: Step,
    /// What must be told, in message, details or remedy.
    tells: &'static [&'static str],
}

/// A test container.
fn container(world: &World, mode: &str) -> Value {
    let image = world.bed.image("books-ms-tests:1.0");
    json!({ "container": { "image": image, "env": { "TESTS_MODE": mode } }, "timeout": "20s" })
}

fn container_for(world: &World, mode: &str, timeout: &str) -> Value {
    let mut gate = container(world, mode);
    gate["timeout"] = timeout.into();
    gate
}

fn absent(world: &World) -> Value {
    json!({ "container": { "image": world.bed.image("absent-tests:1") }, "timeout": "20s" })
}

const BEFORE_IT_RUNS: &[Case] = &[
    Case {
        name: "the pre-deployment gate fails",
        breaks: |stack, world| stack.gate("pre_deployment", &[container(world, "fail")]),
        exit: 11,
        step: Step::PreDeployment,
        tells: &["gate `container-1`", "exit code 1", "told to fail", "failing, as told"],
    },
    Case {
        name: "the image is missing",
        breaks: |stack, world| stack.with("/image", world.bed.image("books-ms:absent")),
        exit: 10,
        step: Step::Prepare,
        tells: &["books-ms:absent"],
    },
    Case {
        name: "the registry of images wants credentials",
        breaks: |stack, world| {
            let registry = world.bed.env("TESTBED_PRIVATE_IMAGES");
            stack.with("/image", format!("{registry}/books-ms:1.0"))
        },
        exit: 10,
        step: Step::Prepare,
        tells: &["books-ms:1.0", "docker login"],
    },
];

const WHILE_IT_STARTS: &[Case] = &[
    Case {
        name: "exits at start",
        breaks: |stack, _| stack.fault("exit-at-start"),
        exit: 10,
        step: Step::Await,
        tells: &["books-ms-green", "exit code 1", "cannot open the catalogue"],
    },
    Case {
        name: "crash-loops",
        breaks: |stack, _| stack.fault("exit-after=1").asking("stable_for", "5s"),
        exit: 10,
        step: Step::Await,
        tells: &["books-ms-green", "lost the catalogue while serving"],
    },
    Case {
        name: "never becomes healthy",
        breaks: |stack, _| stack.fault("never-healthy"),
        exit: 10,
        step: Step::Await,
        tells: &["books-ms-green", "was ended because it was unhealthy"],
    },
    Case {
        name: "is healthy, then is not",
        breaks: |stack, _| stack.fault("unhealthy-after=3").asking("stable_for", "40s"),
        exit: 10,
        step: Step::Await,
        tells: &["books-ms-green", "was ended because it was unhealthy"],
    },
];

const BEFORE_THE_SWITCH: &[Case] = &[
    Case {
        name: "the pre-integration gate fails",
        breaks: |stack, _| {
            stack.gate("pre_integration", &[json!({ "http": { "path": "/nowhere" } })])
        },
        exit: 11,
        step: Step::PreIntegration,
        tells: &["gate `http-1`", "404", "/nowhere"],
    },
    Case {
        name: "the pre-integration container fails",
        breaks: |stack, world| stack.gate("pre_integration", &[container(world, "fail")]),
        exit: 11,
        step: Step::PreIntegration,
        tells: &["gate `container-1`", "exit code 1", "told to fail", "failing, as told"],
    },
    Case {
        name: "the pre-integration gate hangs",
        breaks: |stack, world| stack.gate("pre_integration", &[container_for(world, "hang", "2s")]),
        exit: 11,
        step: Step::PreIntegration,
        tells: &["gate `container-1`", "not passed after 2s"],
    },
    Case {
        name: "the pre-integration gate's image is missing",
        breaks: |stack, world| stack.gate("pre_integration", &[absent(world)]),
        exit: 11,
        step: Step::PreIntegration,
        tells: &["gate `container-1`", "absent-tests:1"],
    },
    Case {
        name: "the approval expires",
        breaks: |stack, _| stack.asking("approve", json!({ "expires": "1s" })),
        exit: 32,
        step: Step::Approve,
        tells: &["nobody approved within 1s"],
    },
];

const AFTER_THE_SWITCH: &[Case] = &[
    Case {
        name: "wrong answers",
        breaks: |stack, _| {
            let gate = json!({ "http": { "path": "/api/v1/books", "body": "\"title\"" } });
            stack.fault("wrong-answers").gate("post_integration", &[gate])
        },
        exit: 12,
        step: Step::PostIntegration,
        tells: &["gate `http-1`", "\"title\"", ":80", ":443"],
    },
    Case {
        name: "the post-integration container fails",
        breaks: |stack, world| {
            stack.gate("post_integration", &[container(world, "fail-on=post-integration")])
        },
        exit: 12,
        step: Step::PostIntegration,
        tells: &["gate `container-1`", "exit code 1", "told to fail", "failing, as told"],
    },
];

/// These answer with 5xx while they are public.
const WITH_ERRORS: &[Case] = &[
    Case {
        name: "the post-integration gate fails on 443 only",
        breaks: |stack, _| stack.fault("http-only"),
        exit: 12,
        step: Step::PostIntegration,
        tells: &["gate `http-1`", "500", ":443"],
    },
    Case {
        name: "right only when asked directly",
        breaks: |stack, _| stack.fault("right-only-direct"),
        exit: 12,
        step: Step::PostIntegration,
        tells: &["gate `http-1`", "500"],
    },
    Case {
        name: "the bake sees 5xx",
        breaks: |stack, _| {
            stack
                .fault("errors-ratio=0.5")
                .gate("post_integration", &[])
                .asking("bake", json!({ "for": "8s", "max_errors": 0.1, "min_requests": 20 }))
        },
        exit: 12,
        step: Step::Bake,
        tells: &["answers were 5xx", "more than the 10.0 %"],
    },
];

async fn all_revert(registry: Registry, proxy: Proxy, cases: &[Case], errors: bool) {
    let Some(world) = World::with_first(registry, proxy).await else { return };
    let mut wrong = Vec::new();
    for case in cases {
        let traffic = Traffic::start(&world, "books-ms");
        wrong.extend(reverts(&world, case).await);
        if errors {
            traffic.end_after_errors(case.name).await;
        } else {
            traffic.end(case.name).await;
        }
    }
    assert!(wrong.is_empty(), "{registry:?} {proxy:?}:\n{}", wrong.join("\n"));
}

/// What is wrong with how a broken release ends.
async fn reverts(world: &World, case: &Case) -> Vec<String> {
    let before = world.settled().await;
    let stack = (case.breaks)(world.books("2.0"), world);
    let ended = world.deploy(&stack).await;
    let mut wrong = Vec::new();
    let mut say = |what: String| wrong.push(format!("{}: {what}", case.name));
    let Outcome::Reverted { failure } = ended.outcome() else {
        return vec![format!("{}: not reverted: {}", case.name, ended.story())];
    };
    let told = ended.told();
    if (ended.exit(), failure.step) != (case.exit, case.step) {
        say(format!("exit {} at {}: {}", ended.exit(), failure.step, ended.story()));
    }
    for words in case.tells.iter().filter(|words| !told.contains(**words)) {
        say(format!("`{words}` is not told:\n{told}"));
    }
    if let Err(difference) = world.settles_as(&before).await {
        say(difference);
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn before_anything_runs() {
    all_revert(Registry::Embedded, Proxy::Both, BEFORE_IT_RUNS, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_starts() {
    all_revert(Registry::Consul, Proxy::Both, WHILE_IT_STARTS, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_switch_with_consul() {
    all_revert(Registry::Consul, Proxy::Both, BEFORE_THE_SWITCH, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_switch_with_consul() {
    all_revert(Registry::Consul, Proxy::Both, AFTER_THE_SWITCH, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_switch_with_the_embedded_registry() {
    all_revert(Registry::Embedded, Proxy::Both, AFTER_THE_SWITCH, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_errors_in_public_with_the_embedded_registry() {
    all_revert(Registry::Embedded, Proxy::Both, WITH_ERRORS, true).await;
}
