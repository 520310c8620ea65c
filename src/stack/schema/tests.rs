use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::validator::{as_json, refused};
use super::*;
use crate::document::{Problems, parse_yaml};

/// Its published copy, which editors are pointed at.
const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/compose/x-verdigris.schema.json");

#[test]
fn the_published_copy_is_this_one() {
    let published = std::fs::read_to_string(PUBLISHED).unwrap_or_default();
    let published: Value = serde_json::from_str(&published).unwrap_or_default();
    assert_eq!(
        published,
        schema(),
        "write it anew: `verdigris check --schema > compose/x-verdigris.schema.json`"
    );
}

#[test]
fn only_what_is_needed_is_required() {
    let schema = schema();
    let required = |name: &str| schema["$defs"][name]["required"].clone();
    assert_eq!(required("XVerdigris"), json!(["port"]));
    assert_eq!(required("Route"), json!(["hosts"]));
    assert_eq!(required("Bake"), json!(["for"]));
    assert_eq!(required("HttpGate"), Value::Null);
    assert_eq!(required("Gates"), Value::Null);
}

#[test]
fn every_block_is_closed_and_every_key_described() {
    let schema = schema();
    let definitions = schema["$defs"].as_object().unwrap().iter();
    let tables = definitions.filter(|(_, definition)| definition["properties"].is_object());
    for (name, definition) in tables {
        assert_eq!(definition["additionalProperties"], json!(false), "{name}");
        for (key, property) in definition["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{name}.{key}");
        }
    }
}

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn stack_files(directory: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(project(directory)).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "yml")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// What the schema refuses in a stack file; none where that is no YAML.
fn refused_in(path: &Path) -> Option<BTreeSet<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let root = parse_yaml("stack.yml", &text, &mut Problems::default())?;
    Some(refused(&schema(), &as_json(&root)))
}

#[test]
fn what_the_reader_takes_the_schema_takes() {
    let sample = project("compose/books-ms/stack.yml");
    for path in stack_files("tests/malformed/valid").into_iter().chain([sample]) {
        assert_eq!(refused_in(&path), Some(BTreeSet::new()), "{}", path.display());
    }
}

/// What the reader finds wrong in a block and the schema does not: what two values are to each other, what a
/// header may be, and what depends on how a value is written.
const LEFT_TO_THE_READER: [&str; 14] = [
    "deadline-short: deadline",
    "deadline: stable_for",
    "deadline: bake.for",
    "gate-env-valueless: gates.pre_integration[0].container.env[0]",
    "gate-head-body: gates.pre_integration[0].http.body",
    "gate-headers: gates.pre_integration[0].http.headers.Host",
    "gate-headers: gates.pre_integration[0].http.headers.X Y",
    "gate-headers: gates.pre_integration[0].http.headers.X-Token",
    "gate-http-url: gates.pre_deployment[0].http.path",
    "gate-names: gates.pre_integration[1].name",
    "overlay-without-network: publish",
    "post-gates-without-route: gates.post_integration",
    "route-hosts-twice: route.hosts[1]",
    "route-path: route.path",
];

#[test]
fn what_the_reader_refuses_in_a_block_the_schema_refuses() {
    let mut left = Vec::new();
    for path in stack_files("tests/malformed/stack") {
        let Some(refused) = refused_in(&path) else { continue };
        let name = path.file_stem().unwrap().to_str().unwrap();
        let expected = std::fs::read_to_string(path.with_extension("expect")).unwrap();
        for key in expected.lines().map(|line| line.split(" | ").nth(1).unwrap()) {
            let in_block = key.split_once(&format!(".{BLOCK}.")).map(|(_, below)| below);
            left.extend(
                in_block.filter(|_| !refused.contains(key)).map(|below| format!("{name}: {below}")),
            );
        }
    }
    assert_eq!(left, LEFT_TO_THE_READER);
}
