use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use super::error::CliError;
use super::screen::Tone;
use super::table::Rows;
use crate::deploy::control::{Finding, Severity};
use crate::model::ExitCode;
use crate::{app, config};

/// Look at everything that deployments need, and say what is missing and what to do
#[derive(Debug, Args)]
#[command(after_long_help = "\
Fails with exit code 41 when something is bad enough that deployments would fail.

Examples:
  verdigris doctor
  verdigris doctor --config /etc/verdigris/verdigris.toml    # before the daemon runs")]
pub(super) struct Doctor {
    /// Do not ask a daemon: look at what this configuration names, from here
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let findings = match &self.config {
            Some(path) => Box::pin(app::examine(&config::load(path)?)).await,
            None => context.client()?.doctor().await?,
        };
        context.answer(&findings, |findings| describe(context, findings))?;
        match findings.iter().filter(|finding| finding.severity == Severity::Bad).count() {
            0 => Ok(ExitCode::Success),
            bad => Err(CliError::Unwell(bad)),
        }
    }
}

fn describe(context: &Context, findings: &[Finding]) -> String {
    let mut rows = Rows::new(context, &["", "SUBJECT", "FINDING"]);
    for finding in findings {
        let (word, tone) = match finding.severity {
            Severity::Good => ("good", Tone::Good),
            Severity::Warning => ("warning", Tone::Warning),
            Severity::Bad => ("bad", Tone::Bad),
        };
        rows.row([
            (word.to_owned(), tone),
            (finding.subject.clone(), Tone::Strong),
            (words(finding), Tone::Plain),
        ]);
    }
    rows.text()
}

fn words(finding: &Finding) -> String {
    match &finding.remedy {
        // What a checker said has lines of its own.
        Some(remedy) if finding.message.contains('\n') => format!("{}\n{remedy}", finding.message),
        Some(remedy) => format!("{}; {remedy}", finding.message),
        None => finding.message.clone(),
    }
}
