//! What keepers log, of all tests of this program together: shown with a test that fails, and kept.

use std::io::{self, Write};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

static LINES: Mutex<String> = Mutex::new(String::new());

/// Keep what is logged from now on.
pub fn keep() {
    let ours = EnvFilter::new("verdigris=debug");
    let format = tracing_subscriber::fmt().with_ansi(false).with_writer(|| Log);
    // Once for all tests.
    let _ = format.with_env_filter(ours).try_init();
}

/// The lines with `wanted` so far.
pub fn lines(wanted: &str) -> Vec<String> {
    let lines = LINES.lock().unwrap();
    lines.lines().filter(|line| line.contains(wanted)).map(str::to_owned).collect()
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        print!("{text}");
        LINES.lock().unwrap().push_str(&text);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
