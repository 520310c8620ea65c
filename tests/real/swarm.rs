//! The Swarm adapter on a real engine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use verdigris::deploy::health::serving;
use verdigris::deploy::ports::{PortWanted, Swarm, SwarmSnapshot, Tail, Trouble};
use verdigris::model::{
    Colour, ConfigMount, ImageRef, NetworkAttachment, PinnedImage, Publish, Release, SecretMount,
    Task, TaskState,
};
use verdigris::swarm::DockerSwarm;

use crate::support::{bed::Bed, run};
use crate::testbed::{Scrap, Testbed, deployment, release};

/// A web server that answers with its environment's colour.
const SERVE: &str = "mkdir -p /tmp/w; echo $VERDIGRIS_COLOUR > /tmp/w/colour; exec busybox httpd -f -p 8080 -h /tmp/w";

const PORT: PortWanted = PortWanted::Host(8080);

async fn until(
    swarm: &DockerSwarm,
    name: &str,
    what: &str,
    found: impl Fn(&[Task]) -> bool,
) -> Vec<Task> {
    let begun = Instant::now();
    loop {
        let tasks = swarm.tasks(name, PORT).await.unwrap();
        if found(&tasks) {
            return tasks;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no {what}: {tasks:#?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

fn running(tasks: &[Task]) -> Vec<&Task> {
    let ours = tasks.iter().filter(|task| task.wanted && task.current);
    ours.filter(|task| task.state == TaskState::Running).collect()
}

/// The body behind a plain `GET`, tried again until the server listens.
async fn get(address: SocketAddr, path: &str) -> String {
    let begun = Instant::now();
    loop {
        if let Ok(mut connection) = TcpStream::connect(address).await {
            let request = format!("GET {path} HTTP/1.0\r\n\r\n");
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            let (_, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
            return body.to_owned();
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "nobody answers at {address}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn spec_of(swarm: &DockerSwarm, name: &str) -> Option<SwarmSnapshot> {
    swarm.snapshot(name).await.unwrap()
}

#[tokio::test]
async fn a_release_runs_where_its_task_says_and_leaves_nothing_when_removed() {
    let Some(testbed) = Testbed::find() else {
        return;
    };
    let swarm = testbed.swarm();
    let image = swarm.resolve(&testbed.busybox()).await.unwrap();
    let release = release("t-create", image, SERVE);
    let _scrap = Scrap(&testbed, "t-create-green".to_owned());
    assert_eq!(spec_of(&swarm, "t-create-green").await, None);
    swarm.start(&release, Colour::Green, deployment()).await.unwrap();
    let tasks = until(&swarm, "t-create-green", "running task", |t| running(t).len() == 1).await;
    let address = tasks[0].address.expect("a running task has an address");
    assert_eq!(get(address, "/colour").await, "green\n");

    let container = tasks[0].container.clone().unwrap();
    swarm.restore("t-create-green", None).await.unwrap();
    assert_eq!(spec_of(&swarm, "t-create-green").await, None);
    let still = testbed.docker(&["ps", "-q", "--no-trunc", "--filter", &format!("id={container}")]);
    assert_eq!(still, "", "its container runs on");
    swarm.restore("t-create-green", None).await.unwrap();
}

/// Start `release` as green under a name of its own, removed when the test ends.
struct Started<'a> {
    swarm: DockerSwarm,
    name: String,
    _scrap: Scrap<'a>,
}

async fn busybox(testbed: &Testbed) -> PinnedImage {
    testbed.swarm().resolve(&testbed.busybox()).await.unwrap()
}

async fn start<'a>(testbed: &'a Testbed, release: &Release) -> Started<'a> {
    let swarm = testbed.swarm();
    let name = release.service.swarm_name(Colour::Green);
    let scrap = Scrap(testbed, name.clone());
    swarm.start(release, Colour::Green, deployment()).await.unwrap();
    Started { swarm, name, _scrap: scrap }
}

/// What the engine shows of a service, as text.
fn inspected(testbed: &Testbed, name: &str) -> String {
    testbed.docker(&["service", "inspect", "--format", "{{json .Spec}}", name])
}

#[tokio::test]
async fn an_update_that_is_put_back_leaves_the_spec_as_it_was_to_the_byte() {
    let Some(testbed) = Testbed::find() else { return };
    let image = busybox(&testbed).await;
    let swarm = testbed.swarm();
    let _scrap = Scrap(&testbed, "t-restore-green".to_owned());
    // With fields that a typed model would lose or rename.
    let mut old = release("t-restore", image.clone(), SERVE);
    old.workload.healthcheck = Some(verdigris::model::HealthCheck {
        test: ["CMD", "/bin/busybox", "true"].map(str::to_owned).into(),
        interval: Some(Duration::from_millis(200)),
        ..Default::default()
    });
    old.workload.replicas = 2;
    swarm.start(&old, Colour::Green, deployment()).await.unwrap();
    until(&swarm, "t-restore-green", "two tasks", |t| running(t).len() == 2).await;
    let before = spec_of(&swarm, "t-restore-green").await.unwrap();
    let bytes = inspected(&testbed, "t-restore-green");
    assert!(bytes.contains("\"Healthcheck\""), "{bytes}");

    let new = release("t-restore", image, "sleep 600");
    swarm.start(&new, Colour::Green, deployment()).await.unwrap();
    assert_ne!(inspected(&testbed, "t-restore-green"), bytes);
    swarm.restore("t-restore-green", Some(&before)).await.unwrap();
    assert_eq!(inspected(&testbed, "t-restore-green"), bytes);
    let tasks = swarm.tasks("t-restore-green", PORT).await.unwrap();
    assert_eq!(running(&tasks).len(), 2, "{tasks:#?}");
    let alive =
        tasks.iter().filter(|t| matches!(t.state, TaskState::Running | TaskState::Starting));
    assert_eq!(alive.count(), 2, "{tasks:#?}");

    // Once more changes nothing: not even the version, and so no task.
    let version = || {
        testbed.docker(&["service", "inspect", "--format", "{{.Version.Index}}", "t-restore-green"])
    };
    let index = version();
    swarm.restore("t-restore-green", Some(&before)).await.unwrap();
    assert_eq!(version(), index);
}

#[tokio::test]
async fn what_is_changed_by_hand_is_told_and_what_was_made_is_not() {
    let Some(testbed) = Testbed::find() else { return };
    let network = Network::make(&testbed, "t-edits-net");
    let mut release = release("t-edits", busybox(&testbed).await, SERVE);
    let workload = &mut release.workload;
    workload.environment =
        [("A", "1"), ("EMPTY", "")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    workload.healthcheck = Some(verdigris::model::HealthCheck {
        test: ["CMD", "/bin/busybox", "true"].map(str::to_owned).into(),
        interval: Some(Duration::from_millis(200)),
        ..Default::default()
    });
    workload.init = Some(false);
    workload.stop_grace_period = Some(Duration::from_secs(1));
    workload.resources.limits.memory = Some(64 << 20);
    workload.placement.constraints = vec!["node.role == manager".to_owned()];
    workload.restart_policy =
        Some(verdigris::model::RestartPolicy { max_attempts: Some(0), ..Default::default() });
    workload.networks =
        vec![NetworkAttachment { name: network.1.clone(), aliases: vec!["books".to_owned()] }];
    let started = start(&testbed, &release).await;
    let found = async || {
        let there = spec_of(&started.swarm, &started.name).await.unwrap();
        (started.swarm.edits(&release, Colour::Green, &there), there)
    };
    let (edits, there) = found().await;
    assert_eq!(edits, Vec::<String>::new(), "{there:#?}");
    let update = |what: &[&str]| {
        let command = [&["service", "update", "--detach", "--quiet"], what, &[&*started.name]];
        testbed.docker(&command.concat());
    };
    update(&["--replicas", "0"]);
    assert_eq!(found().await.0, ["0 replicas instead of 1"]);
    update(&["--replicas", "1", "--env-add", "A=2"]);
    assert_eq!(found().await.0, ["another `Env`"]);
    started.swarm.restore(&started.name, None).await.unwrap();
}

#[tokio::test]
async fn one_that_was_kept_without_tasks_is_so_again() {
    let Some(testbed) = Testbed::find() else { return };
    let release = release("t-scale", busybox(&testbed).await, SERVE);
    let started = start(&testbed, &release).await;
    let (swarm, name) = (&started.swarm, started.name.as_str());
    until(swarm, name, "running task", |t| running(t).len() == 1).await;
    swarm.scale(name, 0).await.unwrap();
    swarm.scale(name, 0).await.unwrap();
    let before = spec_of(swarm, name).await.unwrap();
    assert_eq!(before.replicas(), Some(0));
    swarm.start(&release, Colour::Green, deployment()).await.unwrap();
    until(swarm, name, "running task", |t| running(t).len() == 1).await;
    swarm.restore(name, Some(&before)).await.unwrap();
    let left = testbed.docker(&[
        "ps",
        "-q",
        "--filter",
        &format!("label=com.docker.swarm.service.name={name}"),
    ]);
    assert_eq!(left, "");
    // Somebody removed it meanwhile: it is made again.
    testbed.docker(&["service", "rm", name]);
    swarm.restore(name, Some(&before)).await.unwrap();
    assert_eq!(spec_of(swarm, name).await.unwrap(), before);
    let missing = swarm.scale("t-nothing-blue", 1).await.unwrap_err();
    assert_eq!(missing.trouble, Trouble::NotFound);
}

#[tokio::test]
async fn writers_that_race_all_get_their_turn() {
    let Some(testbed) = Testbed::find() else { return };
    let mut release = release("t-race", busybox(&testbed).await, "sleep 600");
    release.workload.replicas = 0;
    let started = start(&testbed, &release).await;
    let other = testbed.swarm();
    for round in 0..5 {
        let (a, b, c) = tokio::join!(
            started.swarm.start(&release, Colour::Green, deployment()),
            other.start(&release, Colour::Green, deployment()),
            other.scale(&started.name, round % 2),
        );
        a.and(b).and(c).unwrap();
    }
}

#[tokio::test]
async fn an_image_that_no_node_can_get_is_rejected_at_once() {
    let Some(testbed) = Testbed::find() else { return };
    let image: ImageRef = format!("{}/verdigris-test-nothing:1", testbed.images).parse().unwrap();
    let image = image.pin(&format!("sha256:{}", "0".repeat(64)));
    let release = release("t-rejected", image, "");
    let started = start(&testbed, &release).await;
    let tasks = until(&started.swarm, &started.name, "rejected task", |tasks| {
        tasks.iter().any(|task| task.rejected)
    })
    .await;
    let task = tasks.iter().find(|task| task.rejected).unwrap();
    assert_eq!((task.state, task.current), (TaskState::Failed, true));
    assert!(task.error.contains("No such image"), "{task:?}");
    assert_eq!(started.swarm.tail(task, 5).await, Tail::default());
}

#[tokio::test]
async fn a_crash_is_told_with_its_exit_code_and_last_lines() {
    let Some(testbed) = Testbed::find() else { return };
    let script = "for i in 1 2 3 4; do echo line $i; done; sleep 0.3; echo giving up >&2; exit 7";
    let release = release("t-crash", busybox(&testbed).await, script);
    let started = start(&testbed, &release).await;
    let tasks = until(&started.swarm, &started.name, "failed task", |tasks| {
        tasks.iter().any(|task| task.state == TaskState::Failed)
    })
    .await;
    let task = tasks.iter().find(|task| task.state == TaskState::Failed).unwrap();
    assert_eq!((task.exit_code, task.rejected, task.current), (Some(7), false, true));
    assert!(task.error.contains("non-zero exit (7)"), "{task:?}");
    let last = started.swarm.tail(task, 3).await;
    assert_eq!(last.lines, ["line 3", "line 4", "giving up"]);
    assert_eq!(last.unhealthy, None);
}

#[tokio::test]
async fn a_release_that_ends_well_has_failed_all_the_same() {
    let Some(testbed) = Testbed::find() else { return };
    let release = release("t-complete", busybox(&testbed).await, "true");
    let started = start(&testbed, &release).await;
    let tasks = until(&started.swarm, &started.name, "ended task", |tasks| {
        tasks.iter().any(|task| task.state == TaskState::Failed)
    })
    .await;
    assert_eq!(tasks[0].exit_code, Some(0));
}

#[tokio::test]
async fn failures_of_an_earlier_deployment_of_the_same_release_are_not_taken_for_new() {
    let Some(testbed) = Testbed::find() else { return };
    let release = release("t-again", busybox(&testbed).await, "test -e /tmp/x; sleep 600; exit 1");
    let started = start(&testbed, &release).await;
    let (swarm, name) = (&started.swarm, started.name.as_str());
    let first = until(swarm, name, "running task", |t| running(t).len() == 1).await;
    testbed.docker(&["kill", first[0].container.as_deref().unwrap()]);
    let failed = |task: &&Task| task.state == TaskState::Failed && task.current;
    until(swarm, name, "failed task", |tasks| tasks.iter().any(|task| failed(&task))).await;
    swarm.start(&release, Colour::Green, deployment()).await.unwrap();
    let tasks = until(swarm, name, "running task", |t| running(t).len() == 1).await;
    assert_eq!(tasks.iter().filter(failed).count(), 0, "{tasks:#?}");
}

#[tokio::test]
async fn changes_are_hinted_at() {
    use futures_util::StreamExt;
    let Some(testbed) = Testbed::find() else { return };
    let swarm = testbed.swarm();
    let mut events = swarm.events().await.unwrap();
    let release = release("t-events", busybox(&testbed).await, "sleep 600");
    let started = start(&testbed, &release).await;
    let hinted = async {
        while let Some(name) = events.next().await {
            if name == started.name {
                return;
            }
        }
        panic!("the events ended");
    };
    tokio::time::timeout(Duration::from_secs(10), hinted).await.expect("a hint");
}

#[tokio::test]
async fn on_an_overlay_network_the_tasks_own_address_is_found() {
    let Some(testbed) = Testbed::find() else { return };
    let network = Network::make(&testbed, "t-overlay-net");
    let mut release = release("t-overlay", busybox(&testbed).await, SERVE);
    release.policy.publish = Publish::Overlay;
    // An engine knows the addresses of its own containers only.
    release.workload.placement.constraints = vec!["node.role == manager".to_owned()];
    release.workload.networks =
        vec![NetworkAttachment { name: network.1.clone(), aliases: vec!["books".to_owned()] }];
    let started = start(&testbed, &release).await;
    let begun = Instant::now();
    let address = loop {
        let tasks = started.swarm.tasks(&started.name, PortWanted::Overlay(8080)).await.unwrap();
        if let [task] = running(&tasks)[..] {
            break task.address.expect("a running task has an address");
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{tasks:#?}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    };
    assert_eq!(address.port(), 8080);
    let seen =
        testbed.docker(&["network", "inspect", "--format", "{{json .Containers}}", &network.1]);
    assert!(seen.contains(&format!("{}/", address.ip())), "{address}: {seen}");
    started.swarm.restore(&started.name, None).await.unwrap();
}

/// An overlay network, removed when the test ends.
struct Network<'a>(&'a Testbed, String);

impl<'a> Network<'a> {
    fn make(testbed: &'a Testbed, name: &str) -> Self {
        testbed.docker(&["network", "create", "--driver", "overlay", "--attachable", name]);
        Self(testbed, name.to_owned())
    }
}

impl Drop for Network<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("docker")
            .args(["-H", &self.0.docker_host, "network", "rm", &self.1])
            .output();
    }
}

#[tokio::test]
async fn a_private_registry_wants_the_right_credentials() {
    let Some(testbed) = Testbed::find() else { return };
    let image = format!("{}/verdigris-test-private:1", testbed.private_images);
    let login = testbed.login(&testbed.private_password);
    testbed.import_busybox(&image);
    testbed.docker(&["--config", login.path().to_str().unwrap(), "push", &image]);
    testbed.docker(&["image", "rm", &image]);
    let image: ImageRef = image.parse().unwrap();

    let none = testbed.swarm().resolve(&image).await.unwrap_err();
    assert_eq!(none.trouble, Trouble::Denied, "{}", none.chain());
    assert!(none.remedy.unwrap().contains("docker login"));
    let wrong = testbed.login("wrong-password");
    let wrong = testbed.swarm_with(&wrong).resolve(&image).await.unwrap_err();
    assert_eq!(wrong.trouble, Trouble::Denied, "{}", wrong.chain());
    assert!(!format!("{wrong:?}").contains("wrong-password"), "{wrong:?}");
    assert!(wrong.remedy.unwrap().contains("do not suffice"));

    let swarm = testbed.swarm_with(&login);
    let pinned = swarm.resolve(&image).await.unwrap();
    let release = release("t-private", pinned, SERVE);
    let _scrap = Scrap(&testbed, "t-private-green".to_owned());
    swarm.start(&release, Colour::Green, deployment()).await.unwrap();
    until(&swarm, "t-private-green", "running task", |t| running(t).len() == 1).await;
    swarm.restore("t-private-green", None).await.unwrap();
}

#[tokio::test]
async fn an_image_that_is_not_there_or_whose_registry_is_not_is_told_apart() {
    let Some(testbed) = Testbed::find() else { return };
    let swarm = testbed.swarm();
    let trouble = async |image: String| {
        let image: ImageRef = image.parse().unwrap();
        swarm.resolve(&image).await.unwrap_err().trouble
    };
    let missing = format!("{}/verdigris-test-nothing:1", testbed.images);
    assert_eq!(trouble(missing).await, Trouble::NotFound);
    let host = testbed.images.split(':').next().unwrap();
    assert_eq!(trouble(format!("{host}:1/verdigris-test:1")).await, Trouble::Unreachable);
    let digest = format!("{}/verdigris-test-busybox@sha256:{}", testbed.images, "0".repeat(64));
    assert_eq!(trouble(digest).await, Trouble::NotFound);

    let known = swarm.resolve(&testbed.busybox()).await.unwrap();
    let again = swarm.resolve(&known.reference().parse().unwrap()).await.unwrap();
    assert_eq!(again.reference(), known.reference());
}

#[tokio::test]
async fn everything_that_is_missing_is_found_before_the_start() {
    let Some(testbed) = Testbed::find() else { return };
    let mut workload = release("t-preflight", busybox(&testbed).await, "").workload;
    assert_eq!(testbed.swarm().preflight(&workload).await.unwrap(), Vec::<String>::new());
    workload.networks =
        vec![NetworkAttachment { name: "t-no-network".to_owned(), aliases: Vec::new() }];
    workload.secrets = vec![SecretMount {
        name: "t-no-secret".to_owned(),
        target: "x".to_owned(),
        uid: "0".to_owned(),
        gid: "0".to_owned(),
        mode: 0o444,
    }];
    workload.configs = vec![ConfigMount {
        name: "t-no-config".to_owned(),
        target: "/x".to_owned(),
        uid: "0".to_owned(),
        gid: "0".to_owned(),
        mode: 0o444,
    }];
    workload.placement.constraints = vec!["node.labels.zone == nowhere".to_owned()];
    let found = testbed.swarm().preflight(&workload).await.unwrap();
    let expected = ["t-no-network", "t-no-secret", "t-no-config", "node.labels.zone == nowhere"];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (line, word) in found.iter().zip(expected) {
        assert!(line.contains(word), "{line}");
    }
}

#[tokio::test]
async fn secrets_and_configs_are_found_by_name() {
    let Some(testbed) = Testbed::find() else { return };
    let mut release = release(
        "t-secret",
        busybox(&testbed).await,
        "busybox cat /run/secrets/word /etc/note; sleep 600",
    );
    let made = |kind: &str| {
        let script =
            format!("printf 'said by {kind}\\n' | docker -H \"$1\" {kind} create t-{kind} -");
        let arguments = ["-c", &script, "sh", &testbed.docker_host];
        assert!(
            std::process::Command::new("sh").args(arguments).output().unwrap().status.success()
        );
    };
    made("secret");
    made("config");
    release.workload.secrets = vec![SecretMount {
        name: "t-secret".to_owned(),
        target: "word".to_owned(),
        uid: "0".to_owned(),
        gid: "0".to_owned(),
        mode: 0o400,
    }];
    release.workload.configs = vec![ConfigMount {
        name: "t-config".to_owned(),
        target: "/etc/note".to_owned(),
        uid: "0".to_owned(),
        gid: "0".to_owned(),
        mode: 0o444,
    }];
    let started = start(&testbed, &release).await;
    let tasks =
        until(&started.swarm, &started.name, "running task", |t| running(t).len() == 1).await;
    let begun = Instant::now();
    loop {
        let said = started.swarm.tail(&tasks[0], 10).await;
        if said.lines == ["said by secret", "said by config"] {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{said:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    started.swarm.restore(&started.name, None).await.unwrap();
    testbed.docker(&["secret", "rm", "t-secret"]);
    testbed.docker(&["config", "rm", "t-config"]);
}

#[tokio::test]
async fn a_service_of_somebody_else_is_left_alone() {
    let Some(testbed) = Testbed::find() else { return };
    let image = busybox(&testbed).await;
    let swarm = testbed.swarm();
    let _scrap = Scrap(&testbed, "t-foreign-green".to_owned());
    testbed.docker(&[
        "service",
        "create",
        "-d",
        "--replicas",
        "0",
        "--name",
        "t-foreign-green",
        &image.reference(),
    ]);
    let bytes = inspected(&testbed, "t-foreign-green");
    let release = release("t-foreign", image, "");
    let error = swarm.start(&release, Colour::Green, deployment()).await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Invalid);
    assert_eq!(inspected(&testbed, "t-foreign-green"), bytes);
    let ours = swarm.services().await.unwrap();
    assert!(ours.iter().all(|(_, _, snapshot)| snapshot.name != "t-foreign-green"));
    let there = spec_of(&swarm, "t-foreign-green").await.unwrap();
    let seen = swarm.look(&release.service).await.unwrap();
    assert_eq!(seen, BTreeMap::from([(Colour::Green, (there, Vec::new()))]), "nobody is led to it");
}

#[tokio::test]
async fn a_look_at_both_colours_tells_what_a_look_at_each_does() {
    let Some(testbed) = Testbed::find() else { return };
    let image = busybox(&testbed).await;
    let release = release("t-look", image.clone(), SERVE);
    let swarm = testbed.swarm();
    assert!(swarm.look(&release.service).await.unwrap().is_empty());
    // The engine takes the beginning of a name for it.
    let _neighbour = Scrap(&testbed, "t-look-green-too".to_owned());
    let create = ["service", "create", "-d", "--replicas", "0", "--name", "t-look-green-too"];
    testbed.docker(&[&create[..], &[&image.reference()]].concat());
    let mut expected = BTreeMap::new();
    let mut scraps = Vec::new();
    for colour in [Colour::Green, Colour::Blue] {
        let name = release.service.swarm_name(colour);
        scraps.push(Scrap(&testbed, name.clone()));
        swarm.start(&release, colour, deployment()).await.unwrap();
        let tasks = until(&swarm, &name, "running task", |tasks| running(tasks).len() == 1).await;
        expected.insert(colour, (spec_of(&swarm, &name).await.unwrap(), tasks));
        assert_eq!(swarm.look(&release.service).await.unwrap(), expected);
        let all = expected.values().flat_map(|(_, tasks)| tasks).map(|task| task.id.clone());
        let all: BTreeSet<String> = all.collect();
        assert_eq!(swarm.look_among(&release.service, &all).await.unwrap(), expected);
        let none = swarm.look_among(&release.service, &BTreeSet::new()).await.unwrap();
        assert!(none.len() == expected.len() && none.values().all(|(_, tasks)| tasks.is_empty()));
    }
}

#[tokio::test]
async fn what_verdigris_made_is_listed_with_how_to_address_it() {
    let Some(testbed) = Testbed::find() else { return };
    let release = release("t-list", busybox(&testbed).await, "sleep 600");
    let started = start(&testbed, &release).await;
    let listed = started.swarm.services().await.unwrap();
    let found = listed.iter().find(|(service, ..)| service.as_str() == "t-list").unwrap();
    assert_eq!(found.1, Colour::Green);
    assert_eq!(found.2.port(), Some(PORT));
    assert_eq!(found.2.release(), Some(release.id.as_str()));
}

#[tokio::test]
async fn a_survey_shows_what_runs_as_a_look_at_the_service_does() {
    let Some(testbed) = Testbed::find() else { return };
    let release = release("t-survey", busybox(&testbed).await, SERVE);
    let started = start(&testbed, &release).await;
    let (swarm, name) = (&started.swarm, started.name.as_str());
    let tasks = until(swarm, name, "running task", |t| running(t).len() == 1).await;
    let begun = Instant::now();
    let surveyed = loop {
        let found = swarm.survey().await.unwrap();
        let found = found.into_iter().find(|found| found.snapshot.name == name).unwrap();
        // The list of tasks may lack the port for a while.
        if found.running.is_some() || begun.elapsed() > Duration::from_secs(10) {
            break found.running;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    };
    assert_eq!(surveyed, Some(tasks.iter().filter_map(serving).collect()));
}

#[tokio::test]
async fn the_doctor_finds_a_manager_well_and_an_absent_engine_not() {
    use verdigris::deploy::control::Severity;
    let Some(testbed) = Testbed::find() else { return };
    let findings = testbed.swarm().examine().await;
    let of = |subject: &str| findings.iter().find(|finding| finding.subject == subject).unwrap();
    assert_eq!(of("engine").severity, Severity::Good);
    assert_eq!(of("swarm").severity, Severity::Good);
    let mut settings = testbed.settings();
    settings.host = "unix:///no/such/docker.sock".to_owned();
    let absent = DockerSwarm::new(verdigris::docker::Client::new(&settings).unwrap());
    let findings = absent.examine().await;
    assert_eq!(findings[0].severity, Severity::Bad);
    assert!(findings[0].remedy.is_some());
    let error = absent.services().await.unwrap_err();
    assert_eq!(error.trouble, Trouble::Unreachable);
}

#[tokio::test]
async fn another_node_is_found_and_heard_and_holds_nothing_up_when_it_is_lost() {
    if !run::possible() {
        return;
    }
    let bed = Bed::bare("pair", 2);
    let testbed = Testbed::on(&bed);
    let mut release = release("t-node", busybox(&testbed).await, &format!("echo up; {SERVE}"));
    release.workload.placement.constraints = vec!["node.hostname == node2".to_owned()];
    assert_eq!(testbed.swarm().preflight(&release.workload).await.unwrap(), Vec::<String>::new());
    let started = start(&testbed, &release).await;
    let (swarm, name) = (&started.swarm, started.name.as_str());
    let tasks = until(swarm, name, "running task", |t| running(t).len() == 1).await;
    assert_eq!(tasks[0].node, "node2");
    let address = tasks[0].address.unwrap();
    assert_eq!(
        bed.env("TESTBED_NODES").split_whitespace().nth(1).unwrap(),
        address.ip().to_string()
    );
    assert_eq!(get(address, "/colour").await, "green\n");
    assert_eq!(swarm.tail(&tasks[0], 5).await.lines, ["up"]);

    the_doctor_knows_a_worker(bed.env("TESTBED_NODE2_HOST")).await;

    bed.testbed(&["engine", "2", "kill"]);
    let begun = Instant::now();
    assert_eq!(swarm.tail(&tasks[0], 5).await, Tail::default());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    // Its tasks will never say that they ended; the Swarm gives the node up after 15 s.
    swarm.restore(name, None).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
    let found = swarm.preflight(&release.workload).await.unwrap();
    assert!(found[0].contains("node.hostname == node2"), "{found:?}");
    bed.testbed(&["down"]);
}

async fn the_doctor_knows_a_worker(host: &str) {
    let settings =
        verdigris::docker::Settings { host: host.to_owned(), tls: None, docker_config: None };
    let worker = DockerSwarm::new(verdigris::docker::Client::new(&settings).unwrap());
    let findings = worker.examine().await;
    let finding = findings.iter().find(|finding| finding.subject == "swarm").unwrap();
    assert!(finding.message.contains("a worker"), "{findings:?}");
    assert!(finding.remedy.as_deref().unwrap().contains("docker node promote"), "{findings:?}");
}
