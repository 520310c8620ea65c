use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use super::Store;
use crate::deploy::ports::{Journal, PortResult};
use crate::deploy::record::{Journalled, Record};
use crate::model::DeploymentId;

impl Store {
    /// Remember whether something of `deployment` cannot be read.
    pub(super) fn doubt(&self, deployment: DeploymentId, records: &[Journalled]) {
        let unreadable = records.iter().find_map(unreadable);
        let mut doubtful = self.doubtful();
        match unreadable {
            None => drop(doubtful.remove(&deployment)),
            Some((seq, problem)) => {
                if doubtful.insert(deployment) {
                    tracing::error!(%deployment, seq, problem, "a journal record cannot be read");
                }
            }
        }
    }

    fn doubtful(&self) -> MutexGuard<'_, BTreeSet<DeploymentId>> {
        self.inner.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One line for every record that was found to be missing or unreadable, and still is.
    pub(super) async fn unreadable(&self) -> PortResult<Vec<String>> {
        let doubtful = self.doubtful().clone();
        let mut lines = Vec::new();
        for deployment in doubtful {
            let records = Journal::read(self, deployment).await?;
            lines.extend(records.iter().filter_map(unreadable).map(|(seq, problem)| {
                format!(
                    "record {seq} of deployment `{deployment}` cannot be read ({problem}): it is \
                     left as it is; see what is live, then put the record back, or delete the \
                     deployment from table `deployments` of the database"
                )
            }));
        }
        Ok(lines)
    }

    /// One line for every record that an earlier version took out of its journal.
    pub(super) async fn quarantined(&self) -> PortResult<Vec<String>> {
        let operation = "list the records that were kept aside".to_owned();
        Store::read(self, operation, |connection| {
            connection
                .prepare_cached(
                    "SELECT deployment, seq, problem FROM quarantine ORDER BY deployment, seq",
                )?
                .query_map([], |row| {
                    let (deployment, seq): (String, i64) = (row.get(0)?, row.get(1)?);
                    let problem: String = row.get(2)?;
                    Ok(format!(
                        "record {seq} of deployment `{deployment}` cannot be read ({problem}); it \
                         is in table `quarantine` of the database: look at that deployment, then \
                         delete the row"
                    ))
                })?
                .collect()
        })
        .await
    }
}

fn unreadable(entry: &Journalled) -> Option<(u64, &str)> {
    match &entry.record {
        Record::Unreadable { problem } => Some((entry.seq, problem)),
        _ => None,
    }
}
