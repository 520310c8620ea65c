//! `books-ms-tests`: one test image for all three gates of `books-ms`.
//!
//! `TEST_TYPE` says which gate asks, the other `TEST_…` variables say what to test, and
//! `TESTS_MODE` makes it fail, hang or write `JUnit` on purpose. Exit 0: all passed; 1: a test
//! failed; 2: told nonsense.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod case;
mod http;
mod mode;
mod report;
mod settings;
mod suites;
mod tls;

use std::process::ExitCode;

use books_ms::say;

use crate::settings::{Settings, SettingsError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("books-ms-tests: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every test passed.
async fn run() -> anyhow::Result<bool> {
    let settings = Settings::from_environment(|name| std::env::var(name).ok())
        .map_err(|SettingsError(problem)| anyhow::anyhow!(problem))?;
    say(format_args!("{} tests of books-ms", settings.kind));
    if settings.mode.hangs(settings.kind) {
        say("hanging, as told");
        std::future::pending::<()>().await;
    }
    let mut cases = suites::run(&settings).await;
    if settings.mode.fails(settings.kind) {
        cases.push(case::told_to_fail());
    }
    report::print(&cases);
    if let Some(directory) = &settings.junit {
        report::write_junit(directory, settings.kind, &cases)?;
    }
    Ok(cases.iter().all(case::Case::passed))
}
