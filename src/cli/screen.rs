use std::env;
use std::io::{self, IsTerminal, Write};

use console::Style;

use super::clean::indented;
use super::error::CliError;
use crate::document::LoadError;
use crate::model::Colour;

/// Where output goes, and what can be shown there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    /// Both outputs are a terminal: progress can move. It is drawn on standard error.
    pub(super) lively: bool,
    /// Standard output takes colours.
    pub(super) coloured: bool,
    complaints_coloured: bool,
}

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
    Warning,
    Faint,
    Strong,
    Blue,
    Green,
}

/// Further lines of a text are set in by so many spaces.
const IN: usize = 2;

impl From<Colour> for Tone {
    fn from(colour: Colour) -> Self {
        match colour {
            Colour::Blue => Self::Blue,
            Colour::Green => Self::Green,
        }
    }
}

impl Tone {
    fn style(self) -> Style {
        let style = Style::new().force_styling(true);
        match self {
            Self::Plain => style,
            Self::Good | Self::Green => style.green(),
            Self::Bad => style.red().bold(),
            Self::Warning => style.yellow(),
            Self::Faint => style.dim(),
            Self::Strong => style.bold(),
            Self::Blue => style.blue(),
        }
    }
}

impl Screen {
    /// What the environment says: a terminal, `TERM`, `NO_COLOR` (any value but an empty one).
    pub(super) fn detect() -> Self {
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = |is_one: bool| is_one && !dumb;
        let (out, err) =
            (terminal(io::stdout().is_terminal()), terminal(io::stderr().is_terminal()));
        Self {
            lively: out && err,
            coloured: out && !no_colour,
            complaints_coloured: err && !no_colour,
        }
    }

    /// `text` in `tone`, where colours are taken.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if self.coloured && tone != Tone::Plain {
            tone.style().apply_to(text).to_string()
        } else {
            text.to_owned()
        }
    }

    /// Print one line.
    #[allow(clippy::unused_self, reason = "whoever prints has a screen")]
    pub(super) fn line(self, text: &str) -> Result<(), CliError> {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CliError::Output)
    }

    /// Print lines, without an empty one at their end.
    pub(super) fn block(self, text: &str) -> Result<(), CliError> {
        match text.trim_end_matches('\n') {
            "" => Ok(()),
            text => self.line(text),
        }
    }

    /// Print a line beside the answer, and what follows it set in. Nobody can be told when that fails.
    #[allow(clippy::unused_self, reason = "whoever prints has a screen")]
    pub(super) fn aside(self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", indented(text, IN));
    }

    /// Print a labelled line beside the answer: `error: …`.
    pub(super) fn labelled(self, label: &str, tone: Tone, text: &str) {
        let text = indented(text, IN);
        let label = if self.complaints_coloured {
            tone.style().apply_to(label).to_string()
        } else {
            label.to_owned()
        };
        let _ = writeln!(io::stderr().lock(), "{label}: {text}");
    }

    /// Say what went wrong and what to do.
    pub(super) fn complain(self, error: &CliError) {
        if matches!(error, CliError::Output(source) if source.kind() == io::ErrorKind::BrokenPipe) {
            return;
        }
        match error {
            CliError::Load(LoadError::Invalid(problems)) => {
                for problem in problems {
                    self.labelled("error", Tone::Bad, &problem.to_string());
                }
            }
            _ => self.labelled("error", Tone::Bad, &error.chain()),
        }
        for line in error.details() {
            self.aside(&format!("  {line}"));
        }
        if let Some(remedy) = error.remedy() {
            self.labelled("help", Tone::Good, &remedy);
        }
    }
}
