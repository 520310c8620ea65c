use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::OpenError;

/// How long to wait for another program (a person with the `sqlite3` shell) that holds the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// Page cache per connection, KiB. The working set is a few hundred pages, and the daemon has four
/// connections or a few more: the 2 MiB that `SQLite` takes by default would be most of its memory.
const CACHE_KIB: i64 = 512;

/// Follows the name of a file that was moved aside.
const DAMAGED: &str = ".damaged-";

/// Open for writing; a damaged file is moved aside first.
pub(super) fn open(path: &Path, migrations: &[&str]) -> Result<Connection, OpenError> {
    match try_open(path, migrations) {
        Err(OpenError::Damaged { path, finding }) => {
            let aside = set_aside(&path)?;
            tracing::error!(
                path = %path.display(),
                aside = %aside.display(),
                finding,
                "database is damaged: moved aside, starting a fresh one"
            );
            try_open(&path, migrations)
        }
        other => other,
    }
}

/// Open for reading, beside the connection that writes.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn try_open(path: &Path, migrations: &[&str]) -> Result<Connection, OpenError> {
    create(path)?;
    let mut connection = connect(path).map_err(|source| judge(path, source))?;
    inspect(path, &connection)?;
    connection.pragma_update(None, "journal_mode", "wal").map_err(|source| judge(path, source))?;
    migrate(path, &mut connection, migrations)?;
    Ok(connection)
}

/// Make the file if it is missing, for nobody else to read; `SQLite` gives its companions (`-wal`,
/// `-shm`) the same mode.
fn create(path: &Path) -> Result<(), OpenError> {
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|source| OpenError::Create { path: path.to_owned(), source })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

fn judge(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, finding: source.to_string() }
        }
        _ => OpenError::Open { path, source },
    }
}

fn inspect(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let finding: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|source| judge(path, source))?;
    if finding == "ok" {
        return Ok(());
    }
    Err(OpenError::Damaged { path: path.to_owned(), finding })
}

fn migrate(path: &Path, connection: &mut Connection, migrations: &[&str]) -> Result<(), OpenError> {
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|source| judge(path, source))?;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    for (format, statements) in
        (1..=known).zip(migrations).skip_while(|(format, _)| *format <= found)
    {
        step(connection, statements, format).map_err(|source| OpenError::Migrate {
            path: path.to_owned(),
            format,
            source,
        })?;
    }
    Ok(())
}

fn step(connection: &mut Connection, statements: &str, format: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(statements)?;
    transaction.pragma_update(None, "user_version", format)?;
    transaction.commit()
}

/// Rename the file and its companions, and say to what.
fn set_aside(path: &Path) -> Result<PathBuf, OpenError> {
    let moment = Timestamp::now().strftime("%Y%m%dT%H%M%S%.3fZ");
    let aside = suffixed(path, &format!("{DAMAGED}{moment}"));
    for companion in ["", "-wal", "-shm"] {
        match fs::rename(suffixed(path, companion), suffixed(&aside, companion)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::SetAside { path: path.to_owned(), source });
            }
            _ => {}
        }
    }
    Ok(aside)
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The files beside `path` that [`open`] moved aside, oldest first.
pub(super) fn damaged(path: &Path) -> Vec<PathBuf> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Vec::new();
    };
    let beginning = format!("{}{DAMAGED}", name.to_string_lossy());
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(&beginning) && !name.ends_with("-wal") && !name.ends_with("-shm")
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}
