//! Tells when a saved template may have changed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// Watches the directories of some files. The files themselves are not watched: editors replace them.
/// Events are hints: who is told looks and compares.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    files: Arc<Mutex<Vec<PathBuf>>>,
    hint: Arc<Notify>,
}

impl Watch {
    /// A watch of nothing yet.
    pub fn new() -> Self {
        let hint = Arc::new(Notify::new());
        let files = Arc::new(Mutex::new(Vec::new()));
        let (told, wanted) = (hint.clone(), files.clone());
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
            if event.map_or(true, |event| concerns(&event, &wanted)) {
                told.notify_one();
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "templates are not watched, only looked at now and then");
        }
        Self { watcher: watcher.ok(), watched: BTreeSet::new(), files, hint }
    }

    /// Watch the directories of `files`, and no others.
    pub fn follow(&mut self, files: &[PathBuf]) {
        files.clone_into(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner));
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let wanted = files.iter().filter_map(|file| file.parent());
        let wanted: BTreeSet<PathBuf> = wanted.map(Path::to_owned).collect();
        for gone in self.watched.difference(&wanted) {
            // A directory that was removed is not watched any more.
            let _ = watcher.unwatch(gone);
        }
        self.watched.retain(|path| wanted.contains(path));
        for new in wanted {
            if !self.watched.contains(&new)
                && watcher.watch(&new, RecursiveMode::NonRecursive).is_ok()
            {
                self.watched.insert(new);
            }
        }
    }

    /// Forget what is watched, so that directories that were made anew are watched again.
    pub fn forget(&mut self) {
        self.follow(&[]);
    }

    /// Wait for the next hint.
    pub async fn hint(&self) {
        self.hint.notified().await;
    }
}

/// Whether one of `files` may have changed. Reading one is an event too, and must not lead to reading
/// it again; a directory that changes as a whole may bring any of them.
fn concerns(event: &notify::Event, files: &[PathBuf]) -> bool {
    let touches = |path: &PathBuf| files.iter().any(|file| file.starts_with(path));
    !event.kind.is_access() && (event.paths.is_empty() || event.paths.iter().any(touches))
}
