use clap::Args;
use similar::{ChangeTag, TextDiff};

use super::context::{Context, Output};
use super::error::CliError;
use super::screen::{Screen, Tone};
use crate::deploy::control::Rendered;
use crate::model::ExitCode;

/// Print a proxy's configuration as its template renders it now; nothing is changed
#[derive(Debug, Args)]
#[command(after_long_help = "\
Fails with exit code 13 when the template is wrong or the proxy's own checker refuses the result.

Examples:
  verdigris render edge-nginx
  verdigris render edge-haproxy --diff")]
pub(super) struct Render {
    /// The proxy, by its name in `verdigris.toml`
    proxy: String,

    /// Only what differs from the configuration in force
    #[arg(long)]
    diff: bool,
}

impl Render {
    pub(super) async fn run(self, context: &Context) -> Result<ExitCode, CliError> {
        let rendered = context.client()?.render(&self.proxy).await?;
        match (context.output, &rendered.text) {
            (Output::Json, _) => context.answer(&rendered, |_| String::new())?,
            (Output::Text, Some(text)) if self.diff => {
                let current = rendered.current.as_deref().unwrap_or_default();
                context.screen.block(&differences(context.screen, current, text))?;
            }
            (Output::Text, Some(text)) => context.screen.block(text)?,
            (Output::Text, None) => {}
        }
        conclude(rendered)
    }
}

fn conclude(rendered: Rendered) -> Result<ExitCode, CliError> {
    match rendered.problem {
        None => Ok(ExitCode::Success),
        Some(problem) => Err(CliError::Rendering { proxy: rendered.proxy, problem }),
    }
}

/// Lines of context around a difference.
const AROUND: usize = 3;

/// How `new` differs from `old`, in the form that `diff -u` made known; nothing when it does not.
fn differences(screen: Screen, old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(AROUND).iter_hunks() {
        lines.push(screen.paint(Tone::Faint, &hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let (sign, tone) = match change.tag() {
                ChangeTag::Insert => ('+', Tone::Good),
                ChangeTag::Delete => ('-', Tone::Bad),
                ChangeTag::Equal => (' ', Tone::Plain),
            };
            let line = change.value().trim_end_matches('\n');
            lines.push(screen.paint(tone, &format!("{sign}{line}")));
        }
    }
    lines.join("\n")
}
