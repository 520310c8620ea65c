//! A draft as the stack file that would give it.
//!
//! Drafts also come from elsewhere than a stack file: by the API. Nothing that `verdigris check`
//! refuses may get in by that door, so a draft is written down and read by the one reader that there
//! is; what comes out must be what went in.

mod policy;
mod workload;

use serde_json::{Map, Value as Json, json};

use crate::document::{Node, Place, Problems, Scalar, ScalarKind, Value};
use crate::model::Draft;

use super::{BLOCK, Options, Source, file};

/// How places name the draft.
const NAME: &str = "draft";

/// Whether a stack file could have given `draft`; else what is wrong with it, in the words and with
/// the keys of the stack file.
pub fn check(draft: &Draft) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let source = Source { name: NAME.to_owned(), text: String::new(), base: "/nonexistent".into() };
    let read = file::drafts_in(&written(draft), &source, &Options::default(), &mut problems);
    if problems.is_empty() && read != [draft.clone()] {
        report_differences(draft, read.first(), &mut problems);
    }
    problems.or(Some(()))
}

fn written(draft: &Draft) -> Node {
    let mut service = workload::keys(&draft.workload);
    service.insert("image".to_owned(), json!(draft.image));
    service.insert(BLOCK.to_owned(), policy::keys(&draft.policy));
    let mut service = node(&without_nulls(Json::Object(service)), true);
    for (key, members) in workload::ordered(&draft.workload) {
        let members = members.iter().map(|(name, value)| (*name, node(value, true)));
        service.put(key, table(members));
    }
    let services = [(draft.service.as_str(), service)];
    let volumes = node(&workload::volumes(&draft.workload), true);
    let mut root = table([("services", table(services)), ("volumes", volumes)]);
    root.name("");
    root
}

/// As the members of an object that are there.
fn without_nulls(value: Json) -> Json {
    match value {
        Json::Object(members) => {
            let there = members.into_iter().filter(|(_, value)| !value.is_null());
            Json::Object(there.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// `value` as it would be parsed from YAML. Values are interpolated when they are read, all but those
/// under keys that are nobody's: a `$` that is meant has to be doubled there, and only there.
fn node(value: &Json, interpolated: bool) -> Node {
    let value = match value {
        Json::Null => Value::Null,
        Json::Array(items) => {
            Value::List(items.iter().map(|item| node(item, interpolated)).collect())
        }
        Json::Object(members) => {
            return table(members.iter().map(|(key, value)| {
                let read = interpolated && (!key.starts_with("x-") || key == BLOCK);
                (key.as_str(), node(value, read))
            }));
        }
        Json::String(text) if interpolated => scalar(text.replace('$', "$$")),
        Json::String(text) => scalar(text.clone()),
        Json::Bool(_) | Json::Number(_) => scalar(value.to_string()),
    };
    Node { place: Place::start(NAME), value }
}

fn scalar(text: String) -> Value {
    Value::Scalar(Scalar { text, kind: ScalarKind::Untyped })
}

fn table<'a>(entries: impl IntoIterator<Item = (&'a str, Node)>) -> Node {
    let mut table = Node { place: Place::start(NAME), value: Value::Table(Vec::new()) };
    entries.into_iter().for_each(|(key, value)| table.put(key, value));
    table
}

/// What was read without complaint, and yet is not what was written: `Books.Example.com` is read as
/// `books.example.com`.
fn report_differences(draft: &Draft, read: Option<&Draft>, problems: &mut Problems) {
    let (given, read) = (json!(draft), read.map_or(Json::Null, |read| json!(read)));
    let start = Place::start(NAME);
    let mut paths = Vec::new();
    differences(&given, &read, String::new(), &mut paths);
    for path in paths {
        let what = "it is not in the form that a stack file is read into";
        let remedy = "write names of hosts in lower case, and paths without a slash at their end";
        problems.report(&start.below(&path), what, remedy);
    }
    if problems.is_empty() {
        problems.report(&start, "it is not what a stack file gives", "read it from one");
    }
}

/// The paths of leaves that are not the same. Values are not repeated: they may be secrets.
fn differences(given: &Json, read: &Json, path: String, paths: &mut Vec<String>) {
    match (given, read) {
        (Json::Object(given), Json::Object(read)) => {
            for key in given.keys().chain(read.keys().filter(|key| !given.contains_key(*key))) {
                let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let of = |object: &Map<String, Json>| object.get(key).cloned().unwrap_or_default();
                differences(&of(given), &of(read), below, paths);
            }
        }
        (Json::Array(given), Json::Array(read)) if given.len() == read.len() => {
            for (index, (given, read)) in given.iter().zip(read).enumerate() {
                differences(given, read, format!("{path}[{index}]"), paths);
            }
        }
        (given, read) if given != read => paths.push(path),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
