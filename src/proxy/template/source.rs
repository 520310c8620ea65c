//! The text of a template with all that it includes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::proxy::settings::{Kind, Settings};

/// The templates built in.
const NGINX: &str = include_str!("../../../templates/nginx.conf.tera");
const HAPROXY: &str = include_str!("../../../templates/haproxy.cfg.tera");

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

    /// Its texts without comments, which say nothing to the proxy, by name.
    pub fn texts(&self) -> impl Iterator<Item = (&str, String)> {
        self.files.iter().map(|(name, text)| (name.as_str(), without_comments(text)))
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
        let below = path.components().all(|part| matches!(part, Component::Normal(_)));
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A template of `files`, the first of which is the main one, on disk.
    pub(crate) fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, Source) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let source = Source::read(&directory.path().join(files[0].0)).unwrap();
        (directory, source)
    }

    #[test]
    fn only_what_is_included_is_read() {
        let (_directory, source) = written(&[
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
}
