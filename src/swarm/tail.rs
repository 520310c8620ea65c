//! The last lines that a task wrote.

use std::pin::pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures_util::{Stream, StreamExt};
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
        read.split_off(surplus)
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
