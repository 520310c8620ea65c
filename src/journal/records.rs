use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Store, sequences};
use crate::deploy::ports::{Journal, PortError, PortResult, Trouble};
use crate::deploy::record::{Journalled, Record};
use crate::model::{DeploymentId, ServiceName};
use crate::sqlite::Durability;

/// The form of the bodies that are written. A change of [`Record`] that older bodies do not fit
/// needs a new version, and [`decode`] keeps reading the old ones.
pub(super) const VERSION: u32 = 1;

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

    /// A record that cannot be read is left out, so that its position is missing, kept aside, and
    /// named by [`Store::problems`].
    async fn read(&self, deployment: DeploymentId) -> PortResult<Vec<Journalled>> {
        let operation = format!("read the journal of deployment `{deployment}`");
        let id = deployment.to_string();
        let rows = Store::read(self, operation, move |connection| {
            connection
                .prepare_cached(
                    "SELECT seq, at, version, body FROM records WHERE deployment = ?1 ORDER BY seq",
                )?
                .query_map([id], stored)?
                .collect::<rusqlite::Result<Vec<_>>>()
        })
        .await?;
        let mut records = Vec::with_capacity(rows.len());
        for (seq, decoded) in rows {
            match decoded {
                Ok(record) => records.push(record),
                Err(problem) => self.set_aside(deployment, seq, problem).await?,
            }
        }
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
    async fn set_aside(
        &self,
        deployment: DeploymentId,
        seq: u64,
        problem: String,
    ) -> PortResult<()> {
        tracing::error!(%deployment, seq, problem, "journal record cannot be read: kept aside");
        let operation = format!("keep record {seq} of deployment `{deployment}` aside");
        let id = deployment.to_string();
        self.write(operation, Durability::Synced, move |connection| {
            connection.execute(
                "INSERT OR REPLACE INTO quarantine
                 SELECT deployment, seq, at, version, body, ?3 FROM records
                 WHERE deployment = ?1 AND seq = ?2",
                params![id, seq.cast_signed(), problem],
            )?;
            connection.execute(
                "DELETE FROM records WHERE deployment = ?1 AND seq = ?2",
                params![id, seq.cast_signed()],
            )?;
            Ok(())
        })
        .await
    }

    /// One line for every record that was kept aside.
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

/// Position, and the record or why it cannot be read.
fn stored(row: &Row<'_>) -> rusqlite::Result<(u64, Result<Journalled, String>)> {
    let seq = row.get(0).map(i64::cast_unsigned)?;
    Ok((seq, decode(seq, row)))
}

fn decode(seq: u64, row: &Row<'_>) -> Result<Journalled, String> {
    let at = text(row, 1)?;
    let at = at.parse().map_err(|error| format!("its time: {error}"))?;
    let version: u32 = row.get(2).map_err(|error| error.to_string())?;
    Ok(Journalled { seq, at, record: body(version, || text(row, 3))? })
}

/// The record in a body of this version.
pub(super) fn body(
    version: u32,
    text: impl FnOnce() -> Result<String, String>,
) -> Result<Record, String> {
    if version != VERSION {
        return Err(format!("its form is version {version}, which is unknown"));
    }
    serde_json::from_str(&text()?).map_err(|error| error.to_string())
}

/// The text in a column that may hold anything.
fn text(row: &Row<'_>, column: usize) -> Result<String, String> {
    let value = row.get_ref(column).map_err(|error| error.to_string())?;
    match value {
        ValueRef::Text(bytes) => {
            String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
        }
        other => Err(format!("{} instead of text", other.data_type())),
    }
}

fn id(row: &Row<'_>) -> rusqlite::Result<DeploymentId> {
    parsed(row, 0)
}

/// A column's text as a value of the model.
fn parsed<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
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
