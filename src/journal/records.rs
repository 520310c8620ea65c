use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::decode::{Stored, VERSION, stored, without_holes};
use super::{Store, sequences};
use crate::deploy::ports::{Journal, Past, PortError, PortResult, Trouble};
use crate::deploy::record::{Journalled, Record};
use crate::model::{DeploymentId, DeploymentView, ServiceName};
use crate::sqlite::Durability;

#[async_trait]
impl Journal for Store {
    /// A deployment's first record is [`Record::Opened`]; others are refused until then.
    async fn append(&self, deployment: DeploymentId, records: &[Record]) -> PortResult<()> {
        let operation = format!("append to the journal of deployment `{deployment}`");
        let entries = records
            .iter()
            .map(|record| Entry::of(deployment, record))
            .collect::<serde_json::Result<Vec<Entry>>>()
            .map_err(|error| PortError::new(Trouble::Invalid, &operation).because(error))?;
        let ends = entries.iter().any(|entry| entry.outcome.is_some());
        let appended = self
            .write(operation.clone(), Durability::Synced, move |connection| {
                // The write is one transaction: an error takes all of them back.
                for entry in entries {
                    if !entry.insert(connection)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            })
            .await?;
        if !appended {
            let unknown = PortError::new(Trouble::NotFound, operation);
            return Err(unknown.because("no such deployment was opened"));
        }
        if ends {
            self.prune(Some(deployment)).await;
        }
        Ok(())
    }

    /// A record that cannot be read stays as it is, and is named by [`Store::problems`].
    async fn read(&self, deployment: DeploymentId) -> PortResult<Vec<Journalled>> {
        let operation = format!("read the journal of deployment `{deployment}`");
        let records =
            Store::read(self, operation, move |connection| records_of(connection, deployment))
                .await?;
        self.doubt(deployment, &records);
        Ok(records)
    }

    async fn unfinished(&self) -> PortResult<Vec<DeploymentId>> {
        let operation = "list unfinished deployments".to_owned();
        Store::read(self, operation, |connection| {
            connection
                .prepare_cached("SELECT id FROM deployments WHERE outcome IS NULL ORDER BY id")?
                .query_map([], id)?
                .collect()
        })
        .await
    }

    async fn recent(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> PortResult<Vec<DeploymentId>> {
        let service = service.map(ToString::to_string);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let operation = "list recent deployments".to_owned();
        Store::read(self, operation, move |connection| match service {
            Some(service) => connection
                .prepare_cached(
                    "SELECT id FROM deployments WHERE service = ?1 ORDER BY id DESC LIMIT ?2",
                )?
                .query_map(params![service, limit], id)?
                .collect(),
            None => connection
                .prepare_cached("SELECT id FROM deployments ORDER BY id DESC LIMIT ?1")?
                .query_map([limit], id)?
                .collect(),
        })
        .await
    }

    /// In one go: whoever asks for several waits for all of them.
    async fn journals(
        &self,
        service: &ServiceName,
        before: Option<DeploymentId>,
        limit: usize,
    ) -> PortResult<Vec<(DeploymentId, Vec<Journalled>)>> {
        let operation = format!("read the journals of `{service}`");
        let (service, before) = (service.to_string(), before.map(|id| id.to_string()));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let journals = Store::read(self, operation, move |connection| {
            let deployments = connection
                .prepare_cached(
                    "SELECT id FROM deployments WHERE service = ?1 AND (?2 IS NULL OR id < ?2)
                     ORDER BY id DESC LIMIT ?3",
                )?
                .query_map(params![service, before, limit], id)?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let journal = |id| Ok((id, records_of(connection, id)?));
            deployments.into_iter().map(journal).collect::<rusqlite::Result<Vec<_>>>()
        })
        .await?;
        for (deployment, records) in &journals {
            self.doubt(*deployment, records);
        }
        Ok(journals)
    }

    async fn summaries(
        &self,
        past: Past<'_>,
        limit: usize,
    ) -> PortResult<Vec<(DeploymentId, Option<DeploymentView>)>> {
        self.read_summaries(past, limit).await
    }

    async fn summarize(&self, summary: &DeploymentView, records: usize) -> PortResult<()> {
        self.keep_summary(summary, records).await
    }

    async fn sequence(&self, service: &ServiceName) -> PortResult<Option<u64>> {
        let operation = format!("read the sequence of service `{service}`");
        let service = service.clone();
        Store::read(self, operation, move |connection| sequences::highest(connection, &service))
            .await
    }

    async fn accept(&self, service: &ServiceName, sequence: u64) -> PortResult<()> {
        let operation = format!("note sequence {sequence} of service `{service}`");
        let service = service.clone();
        self.write(operation, Durability::Synced, move |connection| {
            sequences::accept(connection, &service, sequence)
        })
        .await
    }
}

impl Store {
    /// The service that `deployment` is of; none when it is unknown.
    pub async fn service_of(&self, deployment: DeploymentId) -> PortResult<Option<ServiceName>> {
        let operation = format!("look up deployment `{deployment}`");
        let id = deployment.to_string();
        Store::read(self, operation, move |connection| {
            connection
                .prepare_cached("SELECT service FROM deployments WHERE id = ?1")?
                .query_row([id], |row| parsed(row, 0))
                .optional()
        })
        .await
    }
}

/// All records of `deployment`, with what is missing told in its place.
fn records_of(
    connection: &Connection,
    deployment: DeploymentId,
) -> rusqlite::Result<Vec<Journalled>> {
    let id = deployment.to_string();
    // First, so that what is appended meanwhile is no hole.
    let next = connection
        .prepare_cached("SELECT next FROM deployments WHERE id = ?1")?
        .query_row([&id], |row| row.get(0).map(i64::cast_unsigned))
        .optional()?;
    let rows = connection
        .prepare_cached(
            "SELECT seq, at, version, body FROM records WHERE deployment = ?1 ORDER BY seq",
        )?
        .query_map([&id], stored)?
        .collect::<rusqlite::Result<Vec<Stored>>>()?;
    Ok(without_holes(next.unwrap_or(0), rows))
}

/// A record on its way into the tables.
struct Entry {
    deployment: String,
    /// The service that it opens a deployment of, with the sequence number of that.
    opens: Option<(ServiceName, Option<u64>)>,
    /// How it ends the deployment.
    outcome: Option<&'static str>,
    body: String,
}

impl Entry {
    fn of(deployment: DeploymentId, record: &Record) -> serde_json::Result<Self> {
        let (opens, outcome) = match record {
            Record::Opened { request } => {
                (Some((request.service().clone(), request.sequence)), None)
            }
            Record::Ended { outcome } => (None, Some(outcome.as_str())),
            _ => (None, None),
        };
        Ok(Self {
            deployment: deployment.to_string(),
            opens,
            outcome,
            body: serde_json::to_string(record)?,
        })
    }

    /// Whether the deployment is known, so that it could be appended.
    fn insert(self, connection: &Connection) -> rusqlite::Result<bool> {
        if let Some((service, sequence)) = &self.opens {
            if let Some(sequence) = *sequence {
                sequences::accept(connection, service, sequence)?;
            }
            connection
                .prepare_cached(
                    "INSERT INTO deployments (id, service, next) VALUES (?1, ?2, 0)
                     ON CONFLICT (id) DO NOTHING",
                )?
                .execute([self.deployment.as_str(), service.as_str()])?;
        }
        let seq: Option<i64> = connection
            .prepare_cached(
                "UPDATE deployments SET next = next + 1, outcome = ?2 WHERE id = ?1
                 RETURNING next - 1",
            )?
            .query_row(params![self.deployment, self.outcome], |row| row.get(0))
            .optional()?;
        let Some(seq) = seq else {
            return Ok(false);
        };
        let at = Timestamp::now().to_string();
        connection
            .prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![self.deployment, seq, at, VERSION, self.body])?;
        Ok(true)
    }
}

fn id(row: &Row<'_>) -> rusqlite::Result<DeploymentId> {
    parsed(row, 0)
}

/// A column's text as a value of the model.
pub(super) fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: std::str::FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(column)?;
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}
