//! Files that are either as they were or as they should be, whenever the power fails.

use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use tokio::fs;
use tokio::io::AsyncWriteExt;

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

async fn create(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(MODE).open(path).await
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
        let from = staged(path);
        let write = async {
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).await?;
            }
            let mut file = create(&from).await?;
            if let Ok(old) = fs::metadata(path).await {
                file.set_permissions(old.permissions()).await?;
                chown(&from, Some(old.uid()), Some(old.gid()))?;
            }
            file.write_all(text.as_bytes()).await?;
            file.sync_all().await
        };
        write.await.map_err(failed("write", &from))?;
        Ok(Self { from, to: path.to_owned() })
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
        fs::rename(&self.from, &self.to).await.map_err(failed("replace", &self.to))?;
        sync_directory(&self.to).await
    }

    /// Remove it.
    pub async fn discard(self) {
        // What cannot be removed is overwritten the next time.
        let _ = fs::remove_file(&self.from).await;
    }
}

/// Write `text` to `path`, atomically and durably.
pub(crate) async fn replace(path: &Path, text: &str) -> Result<()> {
    Staged::write(path, text).await?.install().await
}

/// Make the directory entry of `path` durable.
pub(crate) async fn sync_directory(path: &Path) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let sync = async { fs::File::open(directory).await?.sync_all().await };
    sync.await.map_err(failed("sync", directory))
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
