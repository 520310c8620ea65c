//! One keeper of a proxy at a time: the next one waits until the last one has finished its act.
//!
//! A keeper that is given up ends between two acts, not in the middle of one, and that may take a
//! moment. Two of them would each take the other's files for tampering.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::{Error, Result};
use super::install;

/// The longest act: a check, a reload, and another one to put things back, all as slow as they may be.
const PATIENCE: Duration = Duration::from_secs(60);

/// From one try to the next; mostly the last keeper ends at once.
const AGAIN: Duration = Duration::from_millis(2);

/// Only we read and write it.
const MODE: u32 = 0o600;

/// Held by a keeper for as long as it works.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Wait for the lock on `proxy`, whose state is in `directory`.
    pub async fn take(directory: &Path, proxy: &str) -> Result<Self> {
        install::directory(directory).await?;
        let path = directory.join(format!("proxy-{proxy}.lock"));
        Self::take_within(path, PATIENCE).await
    }

    async fn take_within(path: PathBuf, patience: Duration) -> Result<Self> {
        let failed = |source| Error::File { act: "lock", path: path.clone(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(MODE);
        let file = file.open(&path).map_err(failed)?;
        let deadline = Instant::now() + patience;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
                Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                    return Err(Error::Kept { path });
                }
                Err(TryLockError::WouldBlock) => sleep(AGAIN).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_one_waits_for_the_last_one_to_end() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take(directory.path(), "edge").await.unwrap();
        let another = Lock::take(directory.path(), "other").await;
        assert!(another.is_ok(), "proxies do not wait for each other");
        let path = directory.path().join("proxy-edge.lock");
        let error = Lock::take_within(path, Duration::from_millis(20)).await.unwrap_err();
        assert!(error.to_string().contains("proxy-edge.lock"), "{error}");
        let second = Lock::take(directory.path(), "edge");
        let (second, ()) = tokio::join!(second, async {
            tokio::task::yield_now().await;
            drop(first);
        });
        second.unwrap();
    }
}
