use std::fmt::Write;

use clap::Args;

use super::clean::{clean, indented};
use super::context::Context;
use super::error::CliError;
use super::screen::Tone;
use super::stack_file::StackFile;
use super::table::Rows;
use super::who::Who;
use crate::model::{ExitCode, OnBusy, OnDisconnect, Plan, Request};

/// Show what `deploy` of the same would do; nothing is changed
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  verdigris plan -f stack.yml
  verdigris plan books-ms --image registry:5000/books-ms:1.4.2")]
pub(super) struct PlanOf {
    #[command(flatten)]
    stack: StackFile,

    /// As if `deploy` were given `--force`
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    who: Who,
}

impl PlanOf {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let request = Request {
            by: self.who.name(),
            kind: self.stack.kind()?,
            sequence: None,
            on_busy: OnBusy::default(),
            on_disconnect: OnDisconnect::default(),
            deadline: None,
            force: self.force,
        };
        let plan = context.client()?.plan(&request).await?;
        context.answer(&plan, |plan| describe(context, plan))?;
        Ok(ExitCode::Success)
    }
}

fn describe(context: &Context, plan: &Plan) -> String {
    let screen = context.screen;
    let colour = |colour: crate::model::Colour| screen.paint(colour.into(), colour.as_str());
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match (plan.unchanged, plan.live) {
        (true, Some(live)) => writeln!(
            text,
            "{}: release {} is live already, on {}; nothing would be done",
            plan.service,
            plan.to,
            colour(live)
        ),
        (_, Some(live)) => writeln!(
            text,
            "{}: release {} on {} would replace {} on {}",
            plan.service,
            plan.to,
            colour(plan.colour),
            plan.from.as_ref().map_or("what runs", |from| from.as_str()),
            colour(live)
        ),
        (_, None) => writeln!(
            text,
            "{}: release {} on {} would be the first",
            plan.service,
            plan.to,
            colour(plan.colour)
        ),
    };
    let _ = writeln!(text, "image {}", clean(&plan.image));
    if !plan.steps.is_empty() {
        let mut rows = Rows::new(context, &["STEP", "WHAT"]);
        for step in &plan.steps {
            rows.row([(step.step.to_string(), Tone::Strong), (step.what.clone(), Tone::Plain)]);
        }
        let _ = writeln!(text, "\n{}", rows.text());
    }
    for problem in &plan.problems {
        let _ = writeln!(text, "{}: {}", screen.paint(Tone::Bad, "problem"), indented(problem, 2));
    }
    text
}
