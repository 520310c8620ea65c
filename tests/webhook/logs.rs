//! All that this process logs, at every level.

use std::io;
use std::sync::{Mutex, Once};

use crate::receiver::SECRET;

static LOGGED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Writer;

impl io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOGGED.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Listen to everything that is logged from now on.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(|| Writer)
            .init();
    });
}

pub fn so_far() -> String {
    String::from_utf8(LOGGED.lock().unwrap().clone()).unwrap()
}

/// Nothing that was logged so far tells a hook's secret.
#[track_caller]
pub fn keep_the_secret() {
    let told = so_far();
    let line = told.lines().find(|line| line.contains(SECRET));
    assert_eq!(line, None);
}
