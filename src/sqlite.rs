//! One `SQLite` file: opened with care, written by one thread, read beside it.
//!
//! The journal and the embedded registry keep a file each. All writes of a file go through one
//! thread, which puts whatever is waiting into one commit: writers that come at the same time share
//! the cost of one `fsync`. Each read has a connection to itself and, the file being in WAL mode, waits
//! for no writer and for no other read.

mod error;
mod open;
mod readers;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

pub use error::{DatabaseError, OpenError};
use readers::Readers;
use writer::{Task, Writer};

/// What a write is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Every reader sees it when the write returns; a power cut may lose the last ones.
    Visible,
    /// It survives a power cut when the write returns.
    Synced,
}

/// An open database file. Dropping it finishes what is queued and closes the file.
pub struct Database {
    path: PathBuf,
    writer: Writer,
    readers: Arc<Readers>,
}

impl Database {
    /// Open `path`, made when it is missing, and bring it to the newest format: `migrations[n]` leads
    /// from format `n` to `n + 1`. A damaged file is moved aside and a fresh one started; see
    /// [`Database::damaged`].
    pub fn open(path: &Path, migrations: &[&str]) -> Result<Self, OpenError> {
        let connection = open::open(path, migrations)?;
        let readers = Arc::new(Readers::open(path)?);
        Ok(Self { path: path.to_owned(), writer: Writer::start(connection, path)?, readers })
    }

    /// Do `work` in a transaction of its own or of several; undone as a whole when it fails.
    pub async fn write<T, W>(&self, durability: Durability, work: W) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.writer.queue(Box::new(Task::new(durability, work, answer))).await?;
        answered.await.map_err(|_| DatabaseError::Stopped)?
    }

    /// Do `work`, which changes nothing, beside the writer.
    pub async fn read<T, W>(&self, work: W) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        let turn = readers.turn().await.map_err(|_| DatabaseError::Stopped)?;
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            readers.read(work)
        });
        read.await.map_err(|_| DatabaseError::Stopped)?.map_err(DatabaseError::from)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Earlier versions of this file that were found damaged, moved aside and not yet removed.
    #[must_use]
    pub fn damaged(&self) -> Vec<PathBuf> {
        open::damaged(&self.path)
    }
}

#[cfg(test)]
mod tests;
