//! One test and how it went.

use std::time::{Duration, Instant};

/// One test and how it went.
#[derive(Debug)]
pub struct Case {
    /// What was tested.
    pub name: String,
    /// What was wrong, if anything.
    pub failure: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl Case {
    /// Awaits the test and keeps its outcome.
    pub async fn run(name: String, test: impl Future<Output = anyhow::Result<()>>) -> Self {
        let started = Instant::now();
        let failure = test.await.err().map(|error| format!("{error:#}"));
        Self { name, failure, took: started.elapsed() }
    }

    /// Whether nothing was wrong.
    pub fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

/// The test that fails because `TESTS_MODE` says so.
pub fn told_to_fail() -> Case {
    Case {
        name: "told to fail".to_owned(),
        failure: Some("failing, as told by `TESTS_MODE`".to_owned()),
        took: Duration::ZERO,
    }
}
