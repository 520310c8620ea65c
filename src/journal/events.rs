use rusqlite::{Connection, params};

use super::Store;
use crate::deploy::ports::{PortError, PortResult, Trouble};
use crate::model::{DeploymentId, Event};
use crate::sqlite::Durability;

impl Store {
    /// Keep `event`. Every reader sees it when this returns; it is not synced by itself, so a power cut
    /// may lose the last ones.
    pub async fn append_event(&self, event: &Event) -> PortResult<()> {
        self.append_events(std::slice::from_ref(event)).await
    }

    /// Keep `events`, in one go.
    pub async fn append_events(&self, events: &[Event]) -> PortResult<()> {
        let operation = "keep events".to_owned();
        let rows = events
            .iter()
            .map(|event| {
                let body = serde_json::to_string(event)?;
                Ok((event.deployment.to_string(), event.seq, body))
            })
            .collect::<serde_json::Result<Vec<_>>>()
            .map_err(|error| PortError::new(Trouble::Invalid, &operation).because(error))?;
        self.write(operation, Durability::Visible, move |connection| insert(connection, &rows))
            .await
    }

    /// The events of `deployment` after position `after`, or all; oldest first. One that cannot be
    /// read is left out.
    pub async fn events(
        &self,
        deployment: DeploymentId,
        after: Option<u64>,
    ) -> PortResult<Vec<Event>> {
        let id = deployment.to_string();
        let first =
            after.map_or(0, |after| i64::try_from(after).unwrap_or(i64::MAX).saturating_add(1));
        let operation = format!("read the events of deployment `{deployment}`");
        let bodies: Vec<String> = self
            .read(operation, move |connection| {
                connection
                    .prepare_cached(
                        "SELECT CAST(body AS TEXT) FROM events
                         WHERE deployment = ?1 AND seq >= ?2 ORDER BY seq",
                    )?
                    .query_map(params![id, first], |row| row.get(0))?
                    .collect()
            })
            .await?;
        Ok(bodies.iter().filter_map(|body| decode(body)).collect())
    }

    /// The position that comes after the last event of `deployment` that was kept.
    pub async fn next_event(&self, deployment: DeploymentId) -> PortResult<u64> {
        let id = deployment.to_string();
        let operation = format!("count the events of deployment `{deployment}`");
        self.read(operation, move |connection| {
            connection
                .prepare_cached(
                    "SELECT coalesce(max(seq) + 1, 0) FROM events WHERE deployment = ?1",
                )?
                .query_row([id], |row| row.get(0).map(i64::cast_unsigned))
        })
        .await
    }
}

fn insert(connection: &Connection, rows: &[(String, u64, String)]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT INTO events VALUES (?1, ?2, ?3)")?;
    for (deployment, seq, body) in rows {
        statement.execute(params![deployment, seq.cast_signed(), body])?;
    }
    Ok(())
}

fn decode(body: &str) -> Option<Event> {
    serde_json::from_str(body)
        .inspect_err(|error| tracing::warn!(%error, "an event cannot be read: left out"))
        .ok()
}
