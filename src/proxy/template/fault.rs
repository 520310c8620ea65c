//! What is wrong with a template, and where.

use std::fmt;

use tera::ErrorKind;

use super::source::Source;

/// A template is at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// File, and line and column from 1 where they are known.
    pub at: Place,
    /// What is wrong.
    pub message: String,
    /// The report with the line itself, and where it was included from.
    pub report: Vec<String>,
}

/// A place in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub file: String,
    /// Line and column, from 1.
    pub position: Option<(usize, usize)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.message)
    }
}

impl std::error::Error for Fault {}

impl Fault {
    /// The report without what the message says.
    pub fn further(&self) -> Vec<String> {
        let said = |line: &str| {
            let line = line.strip_prefix("error: ").unwrap_or(line);
            self.message.lines().any(|known| known == line)
        };
        self.report.iter().filter(|line| !said(line)).cloned().collect()
    }
}

impl Source {
    /// The fault that `error` tells of.
    pub fn fault(&self, error: &tera::Error) -> Fault {
        let report: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        match error.kind() {
            ErrorKind::SyntaxError(at) | ErrorKind::RenderingError(at) => {
                let span = at.span();
                Fault {
                    at: self.place(at.filename(), Some((span.start_line, span.start_col + 1))),
                    message: at.message().to_owned(),
                    report,
                }
            }
            ErrorKind::CircularInclude { tpl, .. } | ErrorKind::CircularExtend { tpl, .. } => {
                Fault { at: self.place(tpl, None), message: error.to_string(), report }
            }
            ErrorKind::MissingParent { current, .. } => {
                Fault { at: self.place(current, None), message: error.to_string(), report }
            }
            _ => self.reported(&report),
        }
    }

    /// Tera gathers several faults into one text; the first one is named.
    fn reported(&self, report: &[String]) -> Fault {
        let message = report
            .first()
            .map_or("unknown error", |line| line.strip_prefix("error: ").unwrap_or(line));
        let arrow = report.iter().find_map(|line| line.trim().strip_prefix("--> "));
        Fault {
            at: arrow
                .and_then(|place| self.located(place))
                .unwrap_or_else(|| self.place(&self.main, None)),
            message: message.to_owned(),
            report: report.to_vec(),
        }
    }

    /// `name:line:column`
    fn located(&self, place: &str) -> Option<Place> {
        let mut parts = place.rsplitn(3, ':');
        let column = parts.next()?.parse().ok()?;
        let line = parts.next()?.parse().ok()?;
        Some(self.place(parts.next()?, Some((line, column))))
    }

    pub(super) fn place(&self, name: &str, position: Option<(usize, usize)>) -> Place {
        let file = match &self.directory {
            Some(directory) => directory.join(name).display().to_string(),
            None => format!("built-in {name}"),
        };
        Place { file, position }
    }
}
