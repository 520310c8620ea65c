//! The last lines that a task wrote, and what its health check said.

use std::pin::pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::{Stream, StreamExt};
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
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: lines.to_string(),
            ..Default::default()
        };
        let again = options.clone();
        let mut read = self.read(|docker| docker.task_logs(&task.id, Some(options))).await;
        if let Some(container) = task.container.as_ref().filter(|_| read.is_empty()) {
            read = self.read(|docker| docker.logs(container, Some(again))).await;
        }
        let surplus = read.len().saturating_sub(lines);
        let mut last = read.split_off(surplus);
        last.extend(self.health(task).await);
        last
    }

    /// A container that its health check ended looks to Swarm like one that ended by itself, with
    /// code 0 if it was polite. Only the engine that ran it knows better.
    async fn health(&self, task: &Task) -> Option<String> {
        let call = self.client.get(format!("/containers/{}/json", task.container.as_deref()?));
        let seen = tokio::time::timeout(PATIENCE, call.value::<Value>()).await.ok()?.ok()?;
        unhealthy(&seen)
    }

    async fn read<S>(&self, log: impl FnOnce(&Docker) -> S) -> Vec<String>
    where
        S: Stream<Item = Result<LogOutput, bollard::errors::Error>>,
    {
        let deadline = Instant::now() + PATIENCE;
        let Ok(Ok(docker)) = timeout_at(deadline, self.client.docker()).await else {
            return Vec::new();
        };
        let mut pieces = pin!(log(docker));
        let mut reader = Lines::default();
        let mut read = Vec::new();
        let mut bytes = 0;
        while let Ok(Some(Ok(piece))) = timeout_at(deadline, pieces.next()).await {
            bytes += piece.as_ref().len();
            read.extend(reader.push(&piece));
            if bytes > ENOUGH {
                break;
            }
        }
        read.extend(reader.finish());
        read
    }
}

/// What the last health check of a container said, if that made it unhealthy.
pub(super) fn unhealthy(container: &Value) -> Option<String> {
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
