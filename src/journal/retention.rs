use rusqlite::{Connection, params};

use super::Store;
use crate::deploy::history::REACH;
use crate::model::DeploymentId;
use crate::sqlite::Durability;

/// How much of the past is kept, per service. What is unfinished or stuck is always kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest deployments, with their journals: what `history` and `show` know.
    pub deployments: u32,
    /// Besides them the newest committed ones: a rollback finds its release there, however many
    /// deployments have failed since.
    pub committed: u32,
    /// The newest deployments whose events, gate output included, are kept: what `logs` knows.
    pub events: u32,
}

impl Default for Retention {
    /// At some 100 kB a journal (two releases and the *before* snapshot are in it) and some 100 kB of
    /// output, a busy service stays near 20 MB.
    fn default() -> Self {
        Self { deployments: 100, committed: REACH.into(), events: 50 }
    }
}

impl Store {
    /// Remove what is not to be kept: of all services, or of the one that `deployment` is of. It is
    /// housekeeping: a failure is logged, and the next time makes up for it.
    pub(super) async fn prune(&self, deployment: Option<DeploymentId>) {
        let id = deployment.map(|id| id.to_string());
        let retention = self.inner.retention;
        let operation = "remove what is too old from the store".to_owned();
        let done = self
            .write(operation, Durability::Visible, move |connection| {
                prune(connection, retention, id.as_deref())
            })
            .await;
        if let Err(error) = done {
            tracing::warn!(error = error.chain(), "housekeeping failed");
        }
    }
}

fn prune(
    connection: &Connection,
    retention: Retention,
    deployment: Option<&str>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM deployments WHERE id IN (
                 SELECT id FROM (
                     SELECT id, outcome,
                         row_number() OVER of_service AS age,
                         sum(outcome IS 'committed') OVER of_service AS commits
                     FROM deployments
                     WHERE ?1 IS NULL
                         OR service = (SELECT service FROM deployments WHERE id = ?1)
                     WINDOW of_service AS (PARTITION BY service ORDER BY id DESC)
                 )
                 WHERE age > ?2
                     AND outcome IS NOT NULL AND outcome IS NOT 'stuck'
                     AND NOT (outcome = 'committed' AND commits <= ?3)
             )",
        )?
        .execute(params![deployment, retention.deployments, retention.committed])?;
    connection
        .prepare_cached(
            "DELETE FROM events WHERE deployment IN (
                 SELECT id FROM (
                     SELECT id, outcome,
                         row_number() OVER (PARTITION BY service ORDER BY id DESC) AS age
                     FROM deployments
                     WHERE ?1 IS NULL
                         OR service = (SELECT service FROM deployments WHERE id = ?1)
                 )
                 WHERE age > ?2 AND outcome IS NOT NULL AND outcome IS NOT 'stuck'
             )",
        )?
        .execute(params![deployment, retention.events])?;
    Ok(())
}
