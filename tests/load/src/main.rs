//! `verdigris-load`: the load client as a program.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use verdigris_load::{Load, Report};

use crate::cli::Cli;

/// The live line is drawn so often.
const DRAW_EVERY: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(report) if report.total.lost == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("verdigris-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(cli: &Cli) -> anyhow::Result<Report> {
    let load = Load::start(cli.config()?)?;
    let over = until_over(cli.duration, cli.stdin)?;
    if !cli.quiet && std::io::stderr().is_terminal() {
        tokio::select! {
            () = over => {}
            () = draw(&load) => {}
        }
        eprint!("\r\x1b[K");
    } else {
        over.await;
    }
    let report = load.finish().await;
    if !cli.quiet {
        // Nobody listening is no reason to fail.
        let _ = write!(std::io::stdout(), "{report}");
    }
    if let Some(file) = &cli.report {
        write(file, &report).with_context(|| format!("cannot write `{}`", file.display()))?;
    }
    Ok(report)
}

/// Completes when it is time to stop.
fn until_over(duration: Option<f64>, stdin: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        let elapsed = async {
            match duration {
                Some(seconds) => tokio::time::sleep(Duration::from_secs_f64(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = elapsed => {}
            () = stdin_closed(), if stdin => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    let mut bytes = [0; 256];
    while matches!(stdin.read(&mut bytes).await, Ok(length) if length > 0) {}
}

/// One line, drawn over itself for ever.
async fn draw(load: &Load) {
    let mut ticks = tokio::time::interval(DRAW_EVERY);
    loop {
        ticks.tick().await;
        eprint!("\r\x1b[K{}", live_line(&load.report()));
        // A terminal that went away is no reason to stop.
        let _ = std::io::stderr().flush();
    }
}

fn live_line(report: &Report) -> String {
    let tenths = report.lasted_us / 100_000;
    let (sent, lost) = (report.total.sent, report.total.lost);
    let latest = report.seen.iter().max_by_key(|seen| seen.last_answer_us);
    let who = latest.map_or_else(String::new, |seen| format!("  {} {}", seen.colour, seen.release));
    format!("{}.{} s  sent {sent}  lost {lost}{who}", tenths / 10, tenths % 10)
}

/// Whole or not at all: whoever reads the file may be waiting for it.
fn write(file: &Path, report: &Report) -> anyhow::Result<()> {
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".unfinished");
    std::fs::write(&unfinished, serde_json::to_vec_pretty(report)?)?;
    std::fs::rename(&unfinished, file)?;
    Ok(())
}
