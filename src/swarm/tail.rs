//! The last lines that a task wrote, and what its health check said.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
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
        let mut last = read.split_off(surplus);
        last.extend(self.health(task).await);
        last
    }

    /// A container that its health check ended looks to Swarm like one that ended by itself, with
    /// code 0 if it was polite. Only the engine that ran it knows better.
    async fn health(&self, task: &Task) -> Option<String> {
        let container = self.client.container(task.container.as_deref()?);
        let seen = tokio::time::timeout(PATIENCE, container.inspect()).await.ok()?.ok()?;
        unhealthy(&seen)
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

/// What the last health check of a container said, if that made it unhealthy.
fn unhealthy(container: &Value) -> Option<String> {
    let health = container.pointer("/State/Health")?;
    if health.get("Status")?.as_str()? != "unhealthy" {
        return None;
    }
    let count = health.get("FailingStreak").and_then(Value::as_u64).unwrap_or_default();
    let last = health.get("Log").and_then(Value::as_array).and_then(|checks| checks.last());
    let code = last.and_then(|check| check.get("ExitCode")?.as_i64()).unwrap_or_default();
    let output = last.and_then(|check| check.get("Output")?.as_str()).unwrap_or_default();
    let said = output.trim().lines().last().unwrap_or("nothing");
    Some(format!("unhealthy: {count} health checks failed, the last with exit code {code}: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_an_unhealthy_container_is_told_of() {
        let check = json!({ "ExitCode": 1, "Output": "status 503\n" });
        let with = |status: &str| {
            let health = json!({ "Status": status, "FailingStreak": 3, "Log": [check] });
            unhealthy(&json!({ "State": { "Health": health } }))
        };
        let told = "unhealthy: 3 health checks failed, the last with exit code 1: status 503";
        assert_eq!(with("unhealthy").as_deref(), Some(told));
        assert_eq!(with("healthy"), None);
        assert_eq!(unhealthy(&json!({ "State": {} })), None);
    }
}
