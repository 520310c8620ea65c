//! The Swarm adapter on a real engine.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use verdigris::deploy::ports::{PortWanted, Swarm, SwarmSnapshot, Trouble};
use verdigris::model::{Colour, ImageRef, Task, TaskState};
use verdigris::swarm::DockerSwarm;

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
