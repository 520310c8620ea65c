use std::fmt::Write;

use clap::Args;

use super::clean::{clean, indented};
use super::context::Context;
use super::error::CliError;
use super::history::{moment, outcome};
use super::reference::Reference;
use super::screen::Tone;
use super::table::Rows;
use super::words::brief;
use crate::model::{DeploymentView, ExitCode, Failure, FailureKind, Outcome, StepState, StepView};

/// Show one deployment: its steps, and why it failed
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris show books-ms          # the one under way, else the latest
  verdigris show 019aa3b2c4d5")]
pub(super) struct Show {
    /// The deployment, by the beginning of its id, or its service
    deployment: Reference,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let client = context.client()?;
        let id = self.deployment.latest(&client).await?;
        let view = client.deployment(id).await?;
        context.answer(&view, |view| describe(context, view))?;
        Ok(ExitCode::Success)
    }
}

fn describe(context: &Context, view: &DeploymentView) -> String {
    let screen = context.screen;
    let mut text = String::new();
    let mut field = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {value}", screen.paint(Tone::Faint, &format!("{name:<11}")));
    };
    field("deployment", view.id.to_string());
    field("service", view.service.to_string());
    field("kind", view.kind.clone());
    field("by", clean(&view.by).into_owned());
    if let Some(sequence) = view.sequence {
        field("sequence", sequence.to_string());
    }
    field("began", moment(view.opened));
    if let Some(ended) = view.ended {
        field("ended", moment(ended));
    } else {
        field("deadline", moment(view.deadline));
    }
    if let Some(colour) = view.colour {
        field("colour", screen.paint(colour.into(), colour.as_str()));
    }
    if let Some(previous) = view.previous {
        field("before", screen.paint(previous.into(), previous.as_str()));
    }
    if let Some(release) = &view.release {
        field("release", release.to_string());
    }
    if let Some(image) = &view.image {
        field("image", clean(image).into_owned());
    }
    if let Some(micros) = view.switch_micros {
        field("switch", format!("{}.{:03} ms", micros / 1000, micros % 1000));
    }
    let (word, tone) = outcome(view);
    field("outcome", screen.paint(tone, &word));
    text.push('\n');
    text.push_str(&steps(context, &view.steps));
    text.push('\n');
    for failure in failures(view) {
        text.push_str(&reason(context, failure));
    }
    text
}

fn steps(context: &Context, steps: &[StepView]) -> String {
    let mut rows = Rows::new(context, &["STEP", "STATE", "TOOK"]);
    for step in steps {
        let (word, tone) = state(step.state);
        let took = match (step.began, step.ended) {
            (Some(began), Some(ended)) => {
                brief(ended.duration_since(began).try_into().unwrap_or_default())
            }
            _ => String::new(),
        };
        rows.row([
            (step.step.to_string(), Tone::Plain),
            (word.to_owned(), tone),
            (took, Tone::Faint),
        ]);
    }
    rows.text()
}

fn state(state: StepState) -> (&'static str, Tone) {
    match state {
        StepState::Pending => ("pending", Tone::Faint),
        StepState::Running => ("running", Tone::Warning),
        StepState::Done => ("done", Tone::Good),
        StepState::Skipped => ("not needed", Tone::Faint),
        StepState::Failed => ("failed", Tone::Bad),
        StepState::Stopped => ("stopped", Tone::Warning),
        StepState::Undoing => ("being undone", Tone::Warning),
        StepState::Undone => ("undone", Tone::Warning),
        StepState::Stuck => ("stuck", Tone::Bad),
    }
}

fn failures(view: &DeploymentView) -> impl Iterator<Item = &Failure> {
    let problem = match &view.outcome {
        Some(Outcome::Stuck { problem, .. }) => Some(problem),
        _ => None,
    };
    view.failure.iter().chain(problem)
}

fn reason(context: &Context, failure: &Failure) -> String {
    let how = match failure.kind {
        FailureKind::Aborted | FailureKind::Superseded => "stopped",
        _ => "failed",
    };
    let head = format!("`{}` {how}: {}", failure.step, indented(&failure.message, 2));
    let mut text = format!("\n{}\n", context.screen.paint(Tone::Bad, &head));
    for line in &failure.details {
        let _ = writeln!(text, "  {}", indented(line, 2));
    }
    if let Some(remedy) = &failure.remedy {
        let _ = writeln!(text, "help: {}", indented(remedy, 2));
    }
    text
}
