//! The durable store of deployments: their journals, their events, and what must be remembered
//! between them.
//!
//! Everything is kept in `<state>/verdigris.db`. Journal records are synced to the disk before
//! [`Journal::append`](crate::deploy::ports::Journal::append) returns: the saga relies on it. Events,
//! which only tell people what happened, are not waited for, and of the oldest deployments both are
//! removed ([`Retention`]).

mod decode;
mod doubt;
mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod records;
mod retention;
mod schema;
mod sequences;
mod state;
mod summaries;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rusqlite::OptionalExtension;

use crate::deploy::ports::{Origin, PortError, PortResult};
use crate::model::DeploymentId;
use crate::sqlite::{Database, DatabaseError, Durability, OpenError};

pub use retention::Retention;
pub use state::{StateDir, StateDirError};

/// The store. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    // Dropped in this order: the file is closed before the directory is unlocked.
    database: Database,
    retention: Retention,
    /// Deployments of which something could not be read.
    doubtful: Mutex<BTreeSet<DeploymentId>>,
    _state: StateDir,
}

impl Store {
    /// Open the store in `state`; a damaged file is moved aside and reported by
    /// [`Store::problems`]. What `retention` does not keep is removed from time to time.
    pub async fn open(state: &StateDir, retention: Retention) -> Result<Self, OpenError> {
        let database = schema::open(state)?;
        let doubtful = Mutex::default();
        let inner = Inner { database, retention, doubtful, _state: state.clone() };
        let store = Self { inner: Arc::new(inner) };
        store.prune(None).await;
        Ok(store)
    }

    /// What is wrong with the store, one line each, with what to do about it; empty when all is well.
    pub async fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self
            .inner
            .database
            .damaged()
            .into_iter()
            .map(|file| {
                format!(
                    "the database was damaged and is now in `{0}`: deployments before that are \
                     forgotten; look at what is live, then remove `{0}`",
                    file.display()
                )
            })
            .collect();
        for records in [self.unreadable().await, self.quarantined().await] {
            match records {
                Ok(lines) => problems.extend(lines),
                Err(error) => problems.push(error.chain()),
            }
        }
        problems
    }

    /// The value that was kept under `key`.
    pub async fn meta(&self, key: &str) -> PortResult<Option<String>> {
        let key = key.to_owned();
        let operation = format!("read `{key}` from the store");
        self.read(operation, move |connection| {
            connection
                .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()
        })
        .await
    }

    /// Keep `value` under `key`, in place of what was there.
    pub async fn set_meta(&self, key: &str, value: &str) -> PortResult<()> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let operation = format!("keep `{key}` in the store");
        self.write(operation, Durability::Synced, move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
                .execute([key, value])
                .map(drop)
        })
        .await
    }

    async fn read<T, W>(&self, operation: String, work: W) -> PortResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let result = self.inner.database.read(work).await;
        result.map_err(|error| self.failed(error, operation))
    }

    async fn write<T, W>(&self, operation: String, durability: Durability, work: W) -> PortResult<T>
    where
        T: Send + 'static,
        W: FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let result = self.inner.database.write(durability, work).await;
        result.map_err(|error| self.failed(error, operation))
    }

    fn failed(&self, error: DatabaseError, operation: String) -> PortError {
        error.port(operation, self.inner.database.path()).of(Origin::Journal)
    }
}

#[cfg(test)]
mod tests;
