//! What a process has written to its log files since a moment: the words for a reload that failed.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Most bytes read of each log.
const MOST_BYTES: u64 = 16 << 10;

/// Most lines kept.
const MOST_LINES: usize = 10;

/// Lines that say why a reload failed, of nginx and `HAProxy`.
const GRAVE: [&str; 4] = ["[emerg]", "[alert]", "[crit]", "[ALERT]"];

/// The log files of a process and how long they were. They are reached through the process itself, so
/// that neither its mount namespace nor its settings matter.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pid: i32,
    files: Vec<(PathBuf, u64)>,
}

impl Logs {
    /// The files that process `pid` has open as its standard error or under a name with `log`.
    pub fn mark(pid: i32) -> Self {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
            return Self::default();
        };
        let paths = descriptors.flatten().map(|descriptor| descriptor.path());
        let log = |path: PathBuf| {
            let name = fs::read_link(&path).ok()?;
            let name = name.file_name()?.to_string_lossy();
            let metadata = fs::metadata(&path).ok()?;
            let is_log = path.ends_with("2") || name.contains("log");
            (is_log && metadata.is_file()).then_some((path, metadata.len()))
        };
        Self { pid, files: paths.filter_map(log).collect() }
    }

    /// The grave lines written since.
    pub fn grave(&self) -> Vec<String> {
        let grave = |line: &String| GRAVE.iter().any(|mark| line.contains(mark));
        let mut found: Vec<String> = self.lines().into_iter().filter(grave).collect();
        found.sort();
        found.dedup();
        found.truncate(MOST_LINES);
        found
    }

    /// Whether nginx wrote that it gave up. A port that is taken is tried again, so that is none yet;
    /// nor is what another process, a checker, writes into the same log.
    pub fn shows_failure(&self) -> bool {
        let own = format!("[emerg] {}#", self.pid);
        let lines = self.lines();
        lines.iter().any(|line| line.contains(&own) && !line.contains("bind() to"))
    }

    fn lines(&self) -> Vec<String> {
        let texts = self.files.iter().filter_map(|(path, length)| since(path, *length).ok());
        texts.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
    }
}

fn since(path: &PathBuf, length: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(length))?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn only_what_is_new_and_grave() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = File::create(directory.path().join("error.log")).unwrap();
        writeln!(log, "[emerg] long ago").unwrap();
        let logs = Logs::mark(i32::try_from(std::process::id()).unwrap());
        writeln!(log, "[notice] fine\n[emerg] bind() failed").unwrap();
        assert!(logs.grave().contains(&"[emerg] bind() failed".to_owned()));
        assert!(
            !logs.grave().iter().any(|line| line.contains("long ago") || line.contains("fine"))
        );
    }
}
