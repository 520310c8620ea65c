use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The state directory, held exclusively: one daemon per directory.
///
/// The lock is the kernel's and goes with the process, however that ends. Clones share it; it is
/// released when the last one is dropped.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
    _lock: Arc<Lock>,
}

/// Released by its drop, and not only by the last one who has the file open: a process that is just being
/// started has it open for a moment, too.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::debug!(%error, "the state directory's lock goes with this process");
        }
    }
}

/// The state directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    /// Another daemon has it.
    #[error(
        "the state directory `{path}` is in use by {holder}: stop that one, or give this one another \
         state directory (`[daemon] state`)"
    )]
    Held {
        /// The directory.
        path: PathBuf,
        /// Who: `process 1234`.
        holder: String,
    },
    /// It cannot be made.
    #[error("cannot create the state directory `{path}`")]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its lock file cannot be made, locked or written.
    #[error("cannot lock the state directory by `{path}`")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The lock file in the directory; it holds the holder's process id.
const LOCK: &str = "lock";

impl StateDir {
    /// Make `path` if it is missing (for this user only: configurations are in it), and lock it.
    pub fn lock(path: &Path) -> Result<Self, StateDirError> {
        create(path)?;
        let file = path.join(LOCK);
        let failed = |source| StateDirError::Lock { path: file.clone(), source };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StateDirError::Held {
                    path: path.to_owned(),
                    holder: holder(&mut lock),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        sign(&mut lock).map_err(failed)?;
        Ok(Self { path: path.to_owned(), _lock: Arc::new(Lock(lock)) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn create(path: &Path) -> Result<(), StateDirError> {
    let made = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::create_dir_all(parent),
        _ => Ok(()),
    };
    let made = made.and_then(|()| match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    });
    made.map_err(|source| StateDirError::Create { path: path.to_owned(), source })
}

fn sign(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn holder(lock: &mut File) -> String {
    let mut text = String::new();
    match lock.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        // It holds the lock and has not signed yet.
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_free_though_a_process_that_is_being_started_has_the_file_open() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock(File::create(directory.path().join(LOCK)).unwrap());
        lock.0.try_lock().unwrap();
        let inherited = lock.0.try_clone().unwrap();
        assert!(StateDir::lock(directory.path()).is_err());
        drop(lock);
        StateDir::lock(directory.path()).unwrap();
        drop(inherited);
    }
}
