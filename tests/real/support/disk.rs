//! Disks that are full, or can only be read.

use std::path::{Path, PathBuf};

use super::run;

/// A file system of a few megabytes in the place of a directory, with the same content.
pub struct SmallDisk {
    place: PathBuf,
    mark: PathBuf,
}

impl SmallDisk {
    /// In the place of `place`; nobody may have a file there open.
    pub fn under(place: &Path) -> Self {
        let aside = place.with_extension("aside");
        std::fs::rename(place, &aside).unwrap();
        std::fs::create_dir(place).unwrap();
        // The caretaker finds it by this link if this process ends before it can unmount.
        let mark = run::directory().join("mounts").join(std::process::id().to_string());
        std::os::unix::fs::symlink(place, &mark).unwrap();
        shell(r#"mount -t tmpfs -o size=12m tmpfs "$1" && cp -a "$2"/. "$1""#, place, &aside);
        Self { place: place.to_owned(), mark }
    }

    /// Leaves not a byte.
    pub fn fill(&self) {
        shell(r#"cat /dev/zero >"$1/filler" 2>/dev/null || true"#, &self.place, &self.place);
    }

    /// Makes it a file system that can only be read. Nobody may have a file of it open for writing.
    pub fn forbid_writing(&self) {
        shell(r#"mount -o remount,ro "$1""#, &self.place, &self.place);
    }

    /// Undoes [`Self::forbid_writing`].
    pub fn allow_writing(&self) {
        shell(r#"mount -o remount,rw "$1""#, &self.place, &self.place);
    }

    /// Undoes [`Self::fill`].
    pub fn free(&self) {
        std::fs::remove_file(self.place.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        shell(r#"umount -l "$1""#, &self.place, &self.place);
        std::fs::remove_file(&self.mark).unwrap();
    }
}

fn shell(script: &str, first: &Path, second: &Path) {
    let mut command = std::process::Command::new("sh");
    let status = command.args(["-c", script, "sh"]).args([first, second]).status().unwrap();
    assert!(status.success(), "{script}: {status}");
}
