//! The deadline passes at steps that wait for nobody but a part that stands still.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use verdigris::model::{FailureKind, Happening, Outcome, Request, Step};

use crate::support::world::{Ended, request};
use crate::support::{Proxy, Registry, Traffic, World};

/// A part that stands still until this is dropped.
enum Held {
    Process(Pid),
    File(PathBuf),
}

impl Held {
    /// A process of the testbed, by its file.
    fn process(world: &World, file: &str) -> Self {
        let pid = std::fs::read_to_string(world.bed.directory().join(file)).unwrap();
        let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Self::Process(pid)
    }

    /// The checker of nginx, which waits as long as there is this file.
    fn checker(world: &World) -> Self {
        let path = hold(&world.home);
        std::fs::write(&path, "").unwrap();
        Self::File(path)
    }

    /// What keeps `step` from its end.
    fn at(world: &World, step: Step) -> Self {
        match step {
            Step::Prepare => Self::process(world, "registry/pid"),
            Step::Start => Self::process(world, "node1/pid"),
            Step::Stage => Self::checker(world),
            _ => Self::process(world, "consul/pid"),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Fails when it ended meanwhile.
        let _ = match self {
            Self::Process(pid) => kill_process(*pid, Signal::CONT).map_err(Into::into),
            Self::File(path) => std::fs::remove_file(path),
        };
    }
}

fn hold(home: &Path) -> PathBuf {
    home.join("hold")
}

/// Deploys, holds what `step` needs before it begins, lets it go when the deadline has passed.
async fn overdue_at(world: &World, step: Step, deadline: Duration) -> Ended {
    let command = json!({ "command": ["sleep", "1"] });
    let mut stack = world.books("2.0").gate("pre_deployment", &[command]);
    if step == Step::Switch {
        stack = stack.asking("approve", true);
    }
    let request = Request { deadline: Some(deadline), ..request(&stack) };
    let held = (step == Step::Prepare).then(|| Held::at(world, step));
    let id = world.submit(request).await.unwrap().deployment;
    let held = match step {
        Step::Prepare => held,
        Step::Switch => {
            world.until_begun(id, Step::Approve).await;
            let held = Held::at(world, step);
            // On a busy machine its time may be over already: then it is given more.
            let _ = world.try_approve(id).await;
            Some(held)
        }
        _ => {
            world.until_begun(id, Step::PreDeployment).await;
            Some(Held::at(world, step))
        }
    };
    let over = |what: &Happening| {
        let stops = matches!(what, Happening::Stopped { .. } | Happening::Ended { .. });
        stops || matches!(what, Happening::Failed { .. })
    };
    world.follow(id, |event| over(&event.what)).await;
    drop(held);
    world.end_of(id).await
}

/// A busy machine may take some time to get to the step, so it is given more until it does.
async fn passes_at(world: &World, step: Step) {
    let before = world.settled().await;
    let mut seen = Vec::new();
    for seconds in [5, 7, 9, 12, 16, 20, 24] {
        let ended = overdue_at(world, step, Duration::from_secs(seconds)).await;
        let difference = world.settles_as(&before).await;
        difference.unwrap_or_else(|difference| panic!("too late at {step}: {difference}"));
        let Outcome::Reverted { failure } = ended.outcome() else { panic!("{}", ended.story()) };
        if (failure.kind, failure.step) == (FailureKind::Deadline, step) {
            assert_eq!(ended.exit(), 40, "{step}: {}", ended.story());
            assert!(ended.told().contains(&format!("during `{step}`")), "{}", ended.told());
            return;
        }
        seen.push(format!(
            "{seconds} s: {:?} at {}: {}",
            failure.kind, failure.step, failure.message
        ));
    }
    panic!("the deadline never passes at `{step}`: {seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_part_stands_still() {
    let hold = |config: String| {
        let (state, _) = config.split_once("/state\"").unwrap();
        let (_, home) = state.rsplit_once('"').unwrap();
        let waits = format!("while [ -e {home}/hold ]; do sleep 0.05; done; exec \\\"$@\\\"");
        let check = config.lines().find(|line| line.starts_with("check") && line.contains("nginx"));
        let check = check.unwrap();
        let (start, command) = check.split_once('[').unwrap();
        config.replace(check, &format!("{start}[\"sh\", \"-c\", \"{waits}\", \"sh\", {command}"))
    };
    let Some(world) = World::with(Registry::Consul, Proxy::Both, hold).await else { return };
    world.deploy(&world.books("1.0")).await.committed();
    let traffic = Traffic::start(&world, "books-ms");
    for step in [Step::Prepare, Step::Start, Step::Stage, Step::Register, Step::Switch] {
        passes_at(&world, step).await;
    }
    traffic.end("parts that stand still").await;
}
