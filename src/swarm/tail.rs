//! The last lines that a task wrote.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, timeout_at};

use super::DockerSwarm;
use crate::docker::Lines;
use crate::model::Task;

/// An engine waits for the log of a node that is down for as long as one lets it.
const PATIENCE: Duration = Duration::from_secs(2);

/// More is not looked at, whatever a task wrote.
const ENOUGH: usize = 1 << 20;

impl DockerSwarm {
    /// By the Swarm, which knows logs of all nodes; else of the container, if it is on this engine.
    pub(super) async fn last_lines(&self, task: &Task, lines: usize) -> Vec<String> {
        let mut read = self.task_log(&task.id, lines).await;
        if read.is_empty() {
            read = self.container_log(task, lines).await;
        }
        let surplus = read.len().saturating_sub(lines);
        read.split_off(surplus)
    }

    async fn task_log(&self, task: &str, lines: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let call = self.client.get(format!("/tasks/{task}/logs"));
        let call = call.query("stdout", "true").query("stderr", "true");
        let call = call.query("tail", lines.to_string());
        let Ok(Ok(mut stream)) = timeout_at(deadline, call.stream()).await else {
            return Vec::new();
        };
        let mut reader = Lines::default();
        let mut read = Vec::new();
        let mut bytes = 0;
        while let Ok(Some(Ok(data))) = timeout_at(deadline, stream.next()).await {
            bytes += data.len();
            read.extend(reader.push(&data));
            if bytes > ENOUGH {
                break;
            }
        }
        read.extend(reader.finish());
        read
    }

    async fn container_log(&self, task: &Task, lines: usize) -> Vec<String> {
        let Some(id) = &task.container else {
            return Vec::new();
        };
        let container = self.client.container(id.as_str());
        let read = tokio::time::timeout(PATIENCE, container.tail(lines)).await;
        read.ok().and_then(Result::ok).unwrap_or_default()
    }
}
