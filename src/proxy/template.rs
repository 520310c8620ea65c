//! Tera templates: loading what a template includes, rendering, and errors with their place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tera::{Context, ErrorKind, Tera};

use super::page::Page;
use super::settings::{Kind, Settings};

/// The templates built in.
const NGINX: &str = include_str!("../../templates/nginx.conf.tera");
const HAPROXY: &str = include_str!("../../templates/haproxy.cfg.tera");

/// Most files that one template may pull in; beyond any real set, it stops runaway directories.
const MOST_FILES: usize = 256;

/// A template and all that it includes, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// Directory that the names are relative to; none for the one built in.
    pub directory: Option<PathBuf>,
    /// Name of the template itself.
    pub main: String,
    /// Text by name.
    pub files: BTreeMap<String, String>,
    /// Names that are asked for and not there.
    #[serde(default)]
    pub missing: BTreeSet<String>,
}

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

/// A template file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read template `{}`", path.display())]
pub(crate) struct Unreadable {
    /// The file.
    pub path: PathBuf,
    #[source]
    source: std::io::Error,
}

impl Source {
    /// The template that `settings` name, read from disk with what it includes.
    pub fn load(settings: &Settings) -> Result<Self, Unreadable> {
        match &settings.template {
            Some(path) => Self::read(path),
            None => Ok(Self::built_in(settings.kind)),
        }
    }

    /// The template built in for `kind`.
    pub fn built_in(kind: Kind) -> Self {
        let (main, text) = match kind {
            Kind::Nginx => ("nginx.conf.tera", NGINX),
            Kind::Haproxy => ("haproxy.cfg.tera", HAPROXY),
        };
        Self {
            directory: None,
            main: main.to_owned(),
            files: BTreeMap::from([(main.to_owned(), text.to_owned())]),
            missing: BTreeSet::new(),
        }
    }

    /// The template at `path`, with what it includes.
    pub fn read(path: &Path) -> Result<Self, Unreadable> {
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        let main =
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut source =
            Self { directory: Some(directory.clone()), main: main.clone(), ..Self::default() };
        let mut wanted = vec![main.clone()];
        while let Some(name) = wanted.pop() {
            if source.files.contains_key(&name) || source.files.len() >= MOST_FILES {
                continue;
            }
            let path = directory.join(&name);
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    wanted.extend(references(&text));
                    source.files.insert(name, text);
                }
                // Tera names the line that asks for a missing include better than we could.
                Err(_) if name != main => drop(source.missing.insert(name)),
                Err(source) => return Err(Unreadable { path, source }),
            }
        }
        Ok(source)
    }

    /// The files that it is made of, missing ones included.
    pub fn paths(&self) -> Vec<PathBuf> {
        let Some(directory) = &self.directory else {
            return Vec::new();
        };
        self.files.keys().chain(&self.missing).map(|name| directory.join(name)).collect()
    }

    /// Parse it.
    pub fn parse(&self) -> Result<Template, Fault> {
        let mut tera = Tera::default();
        tera.autoescape_on(Vec::<&str>::new());
        let files = self.files.iter().map(|(name, text)| (name, text.as_str()));
        tera.add_raw_templates(files).map_err(|error| self.fault(&error))?;
        let mut hash = Sha256::new();
        for (name, text) in &self.files {
            // Lengths keep names and texts apart.
            let text = without_comments(text);
            hash.update(format!("{name} {}:{text}", text.len()));
        }
        let fingerprint = hash.finalize().to_vec();
        Ok(Template { tera, source: self.clone(), fingerprint, asks: Asks::of(self) })
    }

    fn fault(&self, error: &tera::Error) -> Fault {
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

    fn place(&self, name: &str, position: Option<(usize, usize)>) -> Place {
        let file = match &self.directory {
            Some(directory) => directory.join(name).display().to_string(),
            None => format!("built-in {name}"),
        };
        Place { file, position }
    }
}

/// Names in `{% include "…" %}`, `{% extends "…" %}` and `{% import "…" %}`.
fn references(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for tag in text.split("{%").skip(1) {
        let tag = tag.split("%}").next().unwrap_or_default();
        let tag = tag.trim_start_matches('-').trim_start();
        let named = ["include", "extends", "import"].iter().find_map(|word| tag.strip_prefix(word));
        if let Some(rest) = named {
            found.extend(quoted(rest));
        }
    }
    found
}

/// The texts between quotes that could be relative paths below the directory.
fn quoted(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['"', '\'', '`']) {
        let quote = &rest[start..=start];
        let Some(length) = rest[start + 1..].find(quote) else {
            break;
        };
        let name = &rest[start + 1..start + 1 + length];
        let path = Path::new(name);
        let below = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        if below && !name.is_empty() {
            found.push(name.to_owned());
        }
        rest = &rest[start + length + 2..];
    }
    found
}

/// `text` without its `{# comments #}`, which say nothing to the proxy.
fn without_comments(text: &str) -> String {
    let mut parts = text.split("{#");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |kept, part| kept + part.split_once("#}").map_or("", |(_, rest)| rest))
}

/// A parsed template.
pub(crate) struct Template {
    tera: Tera,
    source: Source,
    fingerprint: Vec<u8>,
    asks: Asks,
}

/// What a template asks for. What it does not mention is not made for it; and what it does mention
/// can only be changed by rendering and reading it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asks {
    /// The servers of a colour, as they are.
    pub servers: bool,
    /// Server slots, whose addresses are set at run time.
    pub slots: bool,
    /// Hosts, paths and the other parts of rules.
    pub rules: bool,
}

impl Asks {
    fn of(source: &Source) -> Self {
        let mentions = |words: &[&str]| {
            let mut texts = source.files.values().map(|text| without_comments(text));
            texts.any(|text| words.iter().any(|word| text.contains(word)))
        };
        Self {
            servers: mentions(&[".servers"]),
            slots: mentions(&[".slots"]),
            rules: mentions(&["hosts", ".path", ".tls", "sizes"]),
        }
    }
}

impl Template {
    /// What it was parsed from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Changes when one of its files does.
    pub fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    /// What it asks for.
    pub fn asks(&self) -> Asks {
        self.asks
    }

    /// The text for `page`.
    pub fn render(&self, page: &Page<'_>) -> Result<String, Fault> {
        let context = Context::from_serialize(page).map_err(|error| self.source.fault(&error))?;
        let rendered = self.tera.render(&self.source.main, &context);
        rendered.map_err(|error| self.source.fault(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(files: &[(&str, &str)]) -> (tempfile::TempDir, Source) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let source = Source::read(&directory.path().join(files[0].0)).unwrap();
        (directory, source)
    }

    /// The fault of a template, with file names relative to its directory.
    fn fault(files: &[(&str, &str)]) -> (String, Vec<String>) {
        let (directory, source) = source(files);
        let fault = match source.parse() {
            Err(fault) => fault,
            Ok(template) => {
                let rendered = template.tera.render(&source.main, &Context::new());
                source.fault(&rendered.unwrap_err())
            }
        };
        let prefix = format!("{}/", directory.path().display());
        let text = fault.to_string();
        assert!(text.starts_with(&prefix), "{text}");
        (text.replace(&prefix, ""), fault.report)
    }

    #[test]
    fn faults_have_a_place() {
        let syntax = fault(&[("a.tera", "one\n{% if %}\n")]).0;
        assert!(syntax.starts_with("a.tera:2:"), "{syntax}");
        let unknown = fault(&[("a.tera", "one\n  {{ missing.field }}")]).0;
        assert!(unknown.starts_with("a.tera:2:6: "), "{unknown}");
        let filter = fault(&[("a.tera", "\n\n{{ 1 | nonsense }}")]).0;
        assert!(filter.starts_with("a.tera:3:") && filter.contains("nonsense"), "{filter}");
        let lost = fault(&[("a.tera", "\n{% include \"b.tera\" %}")]).0;
        assert!(lost.starts_with("a.tera:2:") && lost.contains("b.tera"), "{lost}");
    }

    #[test]
    fn faults_in_an_included_file_show_the_way_there() {
        let files = [
            ("a.tera", "{% include \"parts/b.tera\" %}"),
            ("parts/b.tera", "\n{{ missing.field }}"),
        ];
        let (text, report) = fault(&files);
        assert!(text.starts_with("parts/b.tera:2:"), "{text}");
        assert!(report.iter().any(|line| line.contains("a.tera:1:")), "{report:?}");
    }

    #[test]
    fn only_what_is_included_is_read() {
        let (_directory, source) = source(&[
            ("a.tera", "{%- include 'b.tera' -%}{% include \"gone.tera\" %}{% include \"../x\" %}"),
            ("b.tera", "{% include `c/d.tera` %}"),
            ("c/d.tera", ""),
            ("unrelated.tera", "{% nonsense"),
        ]);
        let names: Vec<&str> = source.files.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.tera", "b.tera", "c/d.tera"]);
        assert_eq!(source.missing, BTreeSet::from(["gone.tera".to_owned()]));
    }

    #[test]
    fn comments_are_left_out() {
        assert_eq!(without_comments("a{# b #}c{#- d -#}\ne"), "ac\ne");
        assert_eq!(without_comments("a"), "a");
    }

    #[test]
    fn the_templates_built_in_ask_for_what_they_need() {
        let asks = |kind| Source::built_in(kind).parse().unwrap().asks();
        assert_eq!(asks(Kind::Nginx), Asks { servers: true, slots: false, rules: true });
        assert_eq!(asks(Kind::Haproxy), Asks { servers: false, slots: true, rules: false });
    }
}
