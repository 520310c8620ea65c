//! The registry of a single machine: a file in the state directory.
//!
//! It needs nothing installed and nobody else writes to it. What belongs together is written in one
//! transaction and is on the disk when the write returns.

mod table;

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use crate::deploy::ports::{Leases, PortError, PortResult, Registry, Tenure, Trouble};
use crate::model::{ServiceName, ServiceRecord};
use crate::sqlite::{Database, Durability, OpenError};

/// The file in the state directory.
const FILE: &str = "registry.db";

/// The embedded registry.
pub struct Embedded {
    database: Database,
    changed: watch::Sender<()>,
}

impl Embedded {
    /// Open the registry in the state directory `state`, which must be locked by this process.
    pub fn open(state: &Path) -> Result<Self, OpenError> {
        Ok(Self {
            database: Database::open(&state.join(FILE), table::MIGRATIONS)?,
            changed: watch::Sender::new(()),
        })
    }

    /// What is wrong with the registry, one line each, with what to do about it; empty when all is
    /// well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let damaged = self.database.damaged().into_iter();
        let line = |file: std::path::PathBuf| {
            format!(
                "the registry was damaged and is now in `{0}`; a fresh one is filled from what runs: \
                 check `verdigris status`, then remove `{0}`",
                file.display()
            )
        };
        damaged.map(line).collect()
    }

    /// Write `record`, in the place of `read` only if that is given.
    async fn put(
        &self,
        service: &ServiceName,
        read: Option<ServiceRecord>,
        record: &ServiceRecord,
    ) -> PortResult<()> {
        let operation = format!("write service `{service}` to the registry");
        let (name, wanted) = (service.to_string(), record.clone());
        let written = self
            .database
            .write(Durability::Synced, move |connection| {
                let held = table::load(connection, &name)?;
                if read.is_some_and(|read| held.as_ref() != Ok(&read)) {
                    return Ok(Written::Refused);
                }
                if held.as_ref() == Ok(&wanted) {
                    return Ok(Written::Same);
                }
                table::replace(connection, &name, &wanted)?;
                Ok(Written::Anew)
            })
            .await
            .map_err(|error| self.failed(error, operation.clone()))?;
        match written {
            Written::Refused => Err(PortError::new(Trouble::Conflict, operation)
                .because("it was written by somebody else since it was read")),
            Written::Anew => {
                self.changed.send_replace(());
                Ok(())
            }
            Written::Same => Ok(()),
        }
    }

    fn failed(&self, error: crate::sqlite::DatabaseError, operation: String) -> PortError {
        error.port(operation, self.database.path())
    }
}

/// What became of a write.
enum Written {
    Anew,
    /// It was so already.
    Same,
    /// Something else is held than what was read.
    Refused,
}

#[async_trait]
impl Registry for Embedded {
    async fn read(&self, service: &ServiceName) -> PortResult<ServiceRecord> {
        let operation = format!("read service `{service}` from the registry");
        let name = service.to_string();
        let row = self
            .database
            .read(move |connection| table::load(connection, &name))
            .await
            .map_err(|error| self.failed(error, operation.clone()))?;
        row.map_err(|problem| {
            PortError::new(Trouble::Invalid, operation).because(problem).remedy(format!(
                "correct the row in `{}`, or delete it: it is made anew from what runs",
                self.database.path().display()
            ))
        })
    }

    /// A service whose rows cannot be read is left out, as if it were not recorded.
    async fn read_all(&self) -> PortResult<BTreeMap<ServiceName, ServiceRecord>> {
        self.database
            .read(table::load_all)
            .await
            .map_err(|error| self.failed(error, "read the registry".to_owned()))
    }

    async fn write(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<()> {
        self.put(service, None, record).await
    }

    async fn replace(
        &self,
        service: &ServiceName,
        read: &ServiceRecord,
        record: &ServiceRecord,
    ) -> PortResult<()> {
        self.put(service, Some(read.clone()), record).await
    }

    async fn changes(&self) -> PortResult<BoxStream<'static, ()>> {
        Ok(WatchStream::from_changes(self.changed.subscribe()).boxed())
    }
}

/// The lock on the state directory is the lease on every service: nobody else writes to this registry.
#[async_trait]
impl Leases for Embedded {
    async fn take(&self, _: &ServiceName) -> PortResult<Tenure> {
        Ok(Tenure::default())
    }

    async fn leave(&self, _: &ServiceName, _: bool) {}

    async fn left(&self) -> PortResult<Vec<ServiceName>> {
        Ok(Vec::new())
    }

    async fn rival(&self, _: &ServiceName) -> PortResult<Option<String>> {
        Ok(None)
    }
}
