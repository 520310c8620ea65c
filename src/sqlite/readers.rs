use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::OpenError;
use super::open::open_reader;

/// Connections that are kept open. More reads than this at once are rare, and opening another connection
/// takes a fraction of a millisecond; each that is kept has a page cache.
const KEPT: usize = 2;

/// Most reads at once: a flood of questions must not take all descriptors and threads.
const MOST: usize = 8;

/// The connections for reading: as many as there are reads at this moment.
pub(super) struct Readers {
    path: PathBuf,
    turns: Arc<Semaphore>,
    /// Those that nobody reads with.
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// One of them is opened at once: what keeps a file from being read is told at the start.
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Open { path: path.to_owned(), source };
        let first = open_reader(path).map_err(failed)?;
        let turns = Arc::new(Semaphore::new(MOST));
        Ok(Self { path: path.to_owned(), turns, idle: Mutex::new(vec![first]) })
    }

    /// To be had by whoever reads, and held as long.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.turns).acquire_owned().await
    }

    /// Do `work` with a connection of its own.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open_reader(&self.path)?,
        };
        let result = work(&connection);
        let mut idle = self.lock();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
