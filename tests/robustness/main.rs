//! Broken texts by the thousand: the corpus, cut, doubled, mixed and sprinkled with what means
//! something. Bounded, and the same on each run but for proptest's seed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod invariants;
#[cfg(feature = "fuzzing")]
mod readings;
#[cfg(feature = "fuzzing")]
mod seeds;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use invariants::{check_config, check_stack};

/// What means something to YAML, TOML, JSON, XML, compose, interpolation or proxies.
const WORDS: [&str; 48] = [
    "\n",
    "\n  ",
    "\n      ",
    "\t",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "<<: *a",
    "? ",
    "| \n",
    ">-\n",
    "!!str ",
    "!x ",
    "---\n",
    "...",
    "%YAML 1.2\n",
    "~",
    "null",
    "${",
    "${TAG}",
    "${NONE:?no}",
    "${EMPTY:-${TAG:+x}}",
    "$",
    "$$",
    "\u{0}",
    "\u{feff}",
    "\u{85}",
    "x-verdigris",
    "= ",
    "[[proxy]]\n",
    "é",
    "-1",
    "1e999",
    "18446744073709551615",
    "9999999999999999999h",
    "\\ud800",
    "true",
    "]]>",
    "&#0;",
];

/// One change of a text.
#[derive(Debug, Clone)]
enum Change {
    Cut(Index, Index),
    Double(Index, Index),
    Insert(Index, Index),
    SwapLines(Index, Index),
    /// Goes on with another file of the corpus from somewhere on.
    Mix(Index, Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        (index(), index()).prop_map(|(from, to)| Change::Cut(from, to)),
        (index(), index()).prop_map(|(from, to)| Change::Double(from, to)),
        (index(), index()).prop_map(|(at, word)| Change::Insert(at, word)),
        (index(), index()).prop_map(|(one, other)| Change::SwapLines(one, other)),
        (index(), index(), index()).prop_map(|(at, file, from)| Change::Mix(at, file, from)),
    ]
}

/// The files with `extension` in these directories of the project.
fn corpus(directories: &[&str], extension: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for directory in directories {
        let entries = std::fs::read_dir(root.join(directory)).unwrap();
        paths.extend(entries.map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    // As the directory has them, a seed of proptest would mean something else on each machine.
    paths.sort();
    assert!(!paths.is_empty(), "nothing in {directories:?}");
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Stack files or configurations.
const WRITTEN: [&str; 3] =
    ["tests/malformed/stack", "tests/malformed/config", "tests/malformed/valid"];

/// A place between two characters.
fn boundary(text: &str, index: Index) -> usize {
    let mut at = index.index(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn range(text: &str, one: Index, other: Index) -> std::ops::Range<usize> {
    let (one, other) = (boundary(text, one), boundary(text, other));
    one.min(other)..one.max(other)
}

fn apply(text: &mut String, change: &Change, corpus: &[String]) {
    match change {
        Change::Cut(from, to) => {
            let range = range(text, *from, *to);
            text.replace_range(range, "");
        }
        Change::Double(from, to) => {
            let range = range(text, *from, *to);
            let part = text[range.clone()].to_owned();
            text.insert_str(range.end, &part);
        }
        Change::Insert(at, word) => {
            let at = boundary(text, *at);
            text.insert_str(at, word.get::<&str>(&WORDS));
        }
        Change::SwapLines(one, other) => {
            let mut lines: Vec<&str> = text.lines().collect();
            if !lines.is_empty() {
                let (one, other) = (one.index(lines.len()), other.index(lines.len()));
                lines.swap(one, other);
            }
            *text = lines.join("\n");
        }
        Change::Mix(at, file, from) => {
            text.truncate(boundary(text, *at));
            let other = file.get(corpus);
            text.push_str(&other[boundary(other, *from)..]);
        }
    }
}

fn broken(directories: &[&str], extension: &str) -> impl Strategy<Value = String> {
    let corpus = corpus(directories, extension);
    let changes = proptest::collection::vec(change(), 1..6);
    (any::<Index>(), changes).prop_map(move |(file, changes)| {
        let mut text = file.get(&corpus).clone();
        for change in &changes {
            apply(&mut text, change, &corpus);
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn broken_stack_files_are_refused_or_sound(text in broken(&WRITTEN, "yml")) {
        check_stack(&text);
    }

    #[test]
    fn broken_configurations_are_refused_or_sound(text in broken(&WRITTEN, "toml")) {
        check_config(&text);
    }

    #[test]
    fn any_text_at_all_is_refused_or_sound(text in "\\PC{0,200}") {
        check_stack(&text);
        check_config(&text);
    }
}
