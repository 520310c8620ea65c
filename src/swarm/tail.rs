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
use crate::deploy::ports::Tail;
use crate::docker::Lines;
use crate::model::Task;

/// An engine waits for the log of a node that is down for as long as one lets it.
const PATIENCE: Duration = Duration::from_secs(2);

/// More is not looked at, whatever a task wrote.
const ENOUGH: usize = 1 << 20;

impl DockerSwarm {
    /// By the Swarm, which knows logs of all nodes; else of the container, if it is on this engine.
    pub(super) async fn last_words(&self, task: &Task, lines: usize) -> Tail {
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
        Tail { lines: read.split_off(surplus), unhealthy: self.health(task).await }
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

/// Failures in a row that make a container unhealthy where nothing else was asked for.
const RETRIES: u64 = 3;

/// What the last health check of a container said, if that made it unhealthy. Docker calls every container
/// with a health check unhealthy once it has ended, so that the checks that failed are what counts.
pub(super) fn unhealthy(container: &Value) -> Option<String> {
    let health = container.pointer("/State/Health")?;
    if health.get("Status")?.as_str()? != "unhealthy" {
        return None;
    }
    let retries = container.pointer("/Config/Healthcheck/Retries").and_then(Value::as_u64);
    let count = health.get("FailingStreak").and_then(Value::as_u64).unwrap_or_default();
    if count < retries.filter(|retries| *retries > 0).unwrap_or(RETRIES) {
        return None;
    }
    let last = health.get("Log").and_then(Value::as_array).and_then(|checks| checks.last());
    let code = last.and_then(|check| check.get("ExitCode")?.as_i64()).unwrap_or_default();
    let output = last.and_then(|check| check.get("Output")?.as_str()).unwrap_or_default();
    let said = output.trim().lines().last().unwrap_or("nothing");
    let checks = if count == 1 { "check" } else { "checks" };
    Some(format!("{count} health {checks} failed, the last with exit code {code}: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_an_unhealthy_container_is_told_of() {
        let check = json!({ "ExitCode": 1, "Output": "status 503\n" });
        let with = |status: &str, streak: u64, retries: u64| {
            let health = json!({ "Status": status, "FailingStreak": streak, "Log": [check] });
            let config = json!({ "Healthcheck": { "Retries": retries } });
            unhealthy(&json!({ "State": { "Health": health }, "Config": config }))
        };
        let told = "3 health checks failed, the last with exit code 1: status 503";
        assert_eq!(with("unhealthy", 3, 3).as_deref(), Some(told));
        assert_eq!(with("unhealthy", 3, 0).as_deref(), Some(told));
        let told = "1 health check failed, the last with exit code 1: status 503";
        assert_eq!(with("unhealthy", 1, 1).as_deref(), Some(told));
        assert_eq!(with("healthy", 0, 3), None);
        assert_eq!(unhealthy(&json!({ "State": {} })), None);
        for (streak, retries) in [(0, 3), (2, 3), (2, 0), (0, 1)] {
            assert_eq!(with("unhealthy", streak, retries), None, "it ended by itself");
        }
    }
}
