//! Files that are either as they were or as they should be, whenever the power fails.

use std::io::ErrorKind;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};

use tokio::fs;

use super::apart::apart;
use super::command;
use super::error::{Error, Result};

fn failed(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { act, path, source }
}

/// The text of `path`; none when there is no such file.
pub(crate) async fn read(path: &Path) -> Result<Option<String>> {
    match fs::read(path).await {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Where `path` is prepared: in the same directory, so that what it includes relative to itself is
/// found, and so that the rename is atomic.
fn staged(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".staged");
    path.with_file_name(name)
}

/// A configuration holds the secret of the probes: it is not for everybody, unless the operator has
/// decided so for the file that is there.
const MODE: u32 = 0o640;

/// Write `text` beside `path`, durably, with mode and owner of what it will replace.
fn write_beside(path: &Path, text: &str) -> Result<PathBuf> {
    let from = staged(path);
    let write = || {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(MODE).open(&from)?;
        if let Ok(old) = std::fs::metadata(path) {
            file.set_permissions(old.permissions())?;
            chown(&from, Some(old.uid()), Some(old.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(failed("write", &from))?;
    Ok(from)
}

fn put_in_place(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(failed("replace", to))?;
    sync_parent(to)
}

fn sync_parent(path: &Path) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let sync = || std::fs::File::open(directory)?.sync_all();
    sync().map_err(failed("sync", directory))
}

/// A text beside the file that it will replace.
#[derive(Debug)]
pub(crate) struct Staged {
    from: PathBuf,
    to: PathBuf,
}

impl Staged {
    /// Write `text` beside `path`, durably, with mode and owner of what it will replace.
    pub async fn write(path: &Path, text: &str) -> Result<Self> {
        let (to, text) = (path.to_owned(), text.to_owned());
        apart(move || Ok(Self { from: write_beside(&to, &text)?, to })).await?
    }

    /// Where it is while nobody else knows of it.
    pub fn path(&self) -> &Path {
        &self.from
    }

    /// Let the proxy's checker look at it; it is removed when the checker refuses.
    pub async fn check(self, argv: &[String]) -> Result<Self> {
        match command::check(argv, &self.from).await {
            Ok(()) => Ok(self),
            Err(error) => {
                self.discard().await;
                Err(error)
            }
        }
    }

    /// Put it in place.
    pub async fn install(self) -> Result<()> {
        apart(move || put_in_place(&self.from, &self.to)).await?
    }

    /// Remove it.
    pub async fn discard(self) {
        // What cannot be removed is overwritten the next time.
        let _ = fs::remove_file(&self.from).await;
    }
}

/// Write `text` to `path`, atomically and durably.
pub(crate) async fn replace(path: &Path, text: &str) -> Result<()> {
    let (path, text) = (path.to_owned(), text.to_owned());
    // In one go: a flip waits for it, and each way to another thread and back takes its time.
    apart(move || put_in_place(&write_beside(&path, &text)?, &path)).await?
}

/// Make the directory entry of `path` durable.
pub(crate) async fn sync_directory(path: &Path) -> Result<()> {
    let path = path.to_owned();
    apart(move || sync_parent(&path)).await?
}

/// Make an empty file; fine when there is one.
pub(crate) async fn touch(path: &Path) -> Result<()> {
    let touched = fs::OpenOptions::new().create(true).append(true).open(path).await;
    touched.map(drop).map_err(failed("create", path))
}

/// Remove a file; fine when there is none.
pub(crate) async fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Make a directory with its parents.
pub(crate) async fn directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).await.map_err(failed("create", path))
}

/// The names of the files in `path`; none when there is no such directory.
pub(crate) async fn names(path: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut entries = match fs::read_dir(path).await {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(failed("read", path)(error)),
    };
    while let Some(entry) = entries.next_entry().await.map_err(failed("read", path))? {
        found.push(entry.file_name().to_string_lossy().into_owned());
    }
    found.sort();
    Ok(found)
}
