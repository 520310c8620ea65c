use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::deploy::ports::{PortError, Trouble};

/// A database file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made or opened.
    #[error("cannot open `{path}`")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file cannot be made.
    #[error("cannot create `{path}`")]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no database, or its pages contradict each other.
    #[error("`{path}` is damaged: {finding}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        finding: String,
    },
    /// A damaged file could not be moved out of the way.
    #[error("cannot move the damaged `{path}` aside; move it yourself, then start again")]
    SetAside {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A later version of the program has written it.
    #[error(
        "`{path}` has format {found}, and this Verdigris knows formats up to {known}: start the \
         newer Verdigris again, or another state directory"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is known here.
        known: u32,
    },
    /// It could not be brought to the newest format; it is as it was.
    #[error("cannot bring `{path}` to format {format}")]
    Migrate {
        /// Which.
        path: PathBuf,
        /// The format that was to be reached.
        format: u32,
        /// Why.
        source: rusqlite::Error,
    },
    /// No thread for the writer.
    #[error("cannot start the thread that writes `{path}`")]
    Thread {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A read or a write failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DatabaseError {
    /// `SQLite` says no. Shared, because the writes of one commit fail together.
    #[error(transparent)]
    Sql(#[from] Arc<rusqlite::Error>),
    /// The thread that does it has ended.
    #[error("the database is closed")]
    Stopped,
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

impl DatabaseError {
    /// As the failure of a port's `operation` on the file at `path`.
    pub fn port(self, operation: impl Into<String>, path: &Path) -> PortError {
        let path = path.display();
        let (trouble, remedy) = match self.code() {
            Some(ErrorCode::DiskFull) => {
                (Trouble::Other, format!("make room on the disk that holds `{path}`"))
            }
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => (
                Trouble::Denied,
                format!("let the daemon's user write to `{path}` and its directory"),
            ),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                (Trouble::Unreachable, format!("end the other program that holds `{path}` locked"))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                (Trouble::Other, format!("restart the daemon: it moves the damaged `{path}` aside"))
            }
            _ => return PortError::new(Trouble::Other, operation).because(self),
        };
        PortError::new(trouble, operation).because(self).remedy(remedy)
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sql(error) => error.sqlite_error_code(),
            Self::Stopped => None,
        }
    }
}
