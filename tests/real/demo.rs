//! `scripts/demo`, the first command that anybody runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::daemon::BINARY;
use crate::support::{machine, run};

/// A directory with the binary under test and the load client.
fn binaries() -> tempfile::TempDir {
    let load = run::load_client();
    let directory = tempfile::tempdir().unwrap();
    for (program, name) in [(Path::new(BINARY), "verdigris"), (&load, "verdigris-load")] {
        std::os::unix::fs::symlink(program, directory.path().join(name)).unwrap();
    }
    directory
}

fn demo(name: &str, binaries: &Path, arguments: &[&str]) -> (i32, String) {
    let usual = ["--no-setup", "--binaries", binaries.to_str().unwrap()];
    machine::script("scripts/demo", name, &[&usual[..], arguments].concat())
}

/// What stands in a line of the story that begins with `mark` and `word`.
fn told<'a>(story: &'a str, word: &str) -> Vec<&'a str> {
    story
        .lines()
        .filter_map(|line| line.split_once(&format!(" ok {word} ")))
        .map(|it| it.1)
        .collect()
}

#[test]
fn it_tells_its_story_loses_nothing_and_leaves_what_it_is_asked_to_leave() {
    if !run::possible() {
        return;
    }
    let (name, binaries) = (run::bed("demo"), binaries());
    let before = machine::host();
    let (code, story) = demo(&name, binaries.path(), &["--keep"]);
    assert_eq!(code, 0, "{story}");
    assert!(story.contains("requests lost: 0"), "{story}");
    let releases = told(&story, "release");
    assert_eq!(releases.len(), 2, "{story}");
    assert!(releases[1].contains("2.0 is live as green"), "{story}");
    let broken = told(&story, "broken").join("\n");
    assert!(broken.contains("(exit 11)") && broken.contains("(exit 12)"), "{story}");
    assert!(told(&story, "rollback")[0].contains("1.0 is live again as blue"), "{story}");
    assert!(!story.contains('\u{1b}'), "no control characters where there is no terminal");
    let sent = number_before(&story, " sent, by clients of six kinds");
    assert!(sent > 1000, "{story}");
    let took = story.lines().find_map(|line| line.trim().strip_prefix("took ")).unwrap();
    let took: f64 = took.trim().trim_end_matches(" s").parse().unwrap();
    assert!(took < 120.0, "it takes {took} s");

    looks_around(&story);
    let (code, words) = machine::script("scripts/demo", &name, &["--down"]);
    assert_eq!(code, 0, "{words}");
    assert_eq!(machine::traces(&name), Vec::<String>::new());
    assert_eq!(machine::host(), before, "the host was touched");
}

#[test]
fn with_consul_it_tells_the_same_and_leaves_nothing() {
    if !run::possible() {
        return;
    }
    let (name, binaries) = (run::bed("demo-consul"), binaries());
    let (code, story) = demo(&name, binaries.path(), &["--consul"]);
    assert_eq!(code, 0, "{story}");
    assert!(story.contains("requests lost: 0"), "{story}");
    assert!(story.contains("consul registry"), "{story}");
    assert_eq!(told(&story, "release").len(), 2, "{story}");
    assert_eq!(machine::traces(&name), Vec::<String>::new());
}

fn number_before(text: &str, words: &str) -> u64 {
    let (before, _) = text.split_once(words).unwrap_or_else(|| panic!("{words}: {text}"));
    before.split_whitespace().last().unwrap().parse().unwrap()
}

/// All that `--keep` says to paste, pasted, but for the end of it all.
fn looks_around(story: &str) {
    let (_, lines) = story.split_once("To look around, paste:").unwrap();
    let lines: Vec<&str> = lines.lines().filter(|line| !line.contains("--down")).collect();
    assert!(lines.len() > 5, "{lines:?}");
    let output = Command::new("bash").args(["-euc", &lines.join("\n")]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("\"edition\":\"3.0\""), "{said}");
    assert!(
        said.lines().any(|line| line.starts_with("haproxy ") && line.contains(" up ")),
        "{said}"
    );
}

/// A `verdigris` that says it has deployed, and has not.
const LIAR: &str = r#"#!/bin/sh
if [ "$1" = deploy ]; then exit 0; fi
if [ "$1" = show ]; then echo '{}'; exit 0; fi
exec "BINARY" "$@"
"#;

#[test]
fn it_fails_when_anything_goes_otherwise_than_told_and_leaves_nothing() {
    if !run::possible() {
        return;
    }
    let (name, binaries) = (run::bed("liar"), binaries());
    let liar = binaries.path().join("verdigris");
    std::fs::remove_file(&liar).unwrap();
    std::fs::write(&liar, LIAR.replace("BINARY", BINARY)).unwrap();
    std::fs::set_permissions(&liar, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (code, story) = demo(&name, binaries.path(), &["--consul"]);
    assert_eq!(code, 1, "{story}");
    assert!(story.contains("FAILED") && story.contains("instead of `1.0 blue`"), "{story}");
    assert!(!story.contains("Summary"), "{story}");
    assert_eq!(machine::traces(&name), Vec::<String>::new());
}

/// The closing summary over reports in a directory.
const SUMMARY: &str = r#"
set -euo pipefail
root=$1 scratch=$2
for part in telling world summary; do source "$root/scripts/lib/demo/$part.sh"; done
loads=() logs=() switches=("1.0 5.0 ms") keep=false started=$(milliseconds)
choose_style
conclude
"#;

/// Reports as the load client writes them, of clients whom nobody answers.
fn reports(binaries: &Path, names: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        let mut load = Command::new(binaries.join("verdigris-load"));
        load.args(["--target", "nobody=http://127.0.0.1:1", "--new", "1@20", "--for", "0.3"]);
        load.args(["--quiet", "--report"]).arg(directory.path().join(format!("{name}.json")));
        assert_eq!(load.status().unwrap().code(), Some(1), "requests are lost");
    }
    directory
}

fn conclude(directory: &Path) -> (Option<i32>, String) {
    let mut shell = Command::new("bash");
    shell.args(["-c", SUMMARY, "bash"]).args([run::root(), directory]);
    let output = shell.output().unwrap();
    let words = [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
    (output.status.code(), words.concat())
}

#[test]
fn it_fails_when_a_request_was_lost() {
    if !run::possible() {
        return;
    }
    let binaries = binaries();
    let directory = reports(binaries.path(), &["everybody", "strict-haproxy", "strict-nginx"]);
    let (code, words) = conclude(directory.path());
    assert_eq!(code, Some(1), "{words}");
    assert!(!words.contains("requests lost: 0"), "{words}");
    assert!(words.contains("requests lost: ") && words.contains("via nobody"), "{words}");

    let missing: PathBuf = directory.path().join("strict-nginx.json");
    std::fs::remove_file(missing).unwrap();
    std::fs::write(directory.path().join("strict-nginx.log"), "no such thing").unwrap();
    let (code, words) = conclude(directory.path());
    assert!(code == Some(1) && words.contains("no report of `strict-nginx`"), "{words}");
}

#[test]
fn what_it_does_not_understand_it_does_not_do() {
    for (arguments, words) in [
        (&["--fast"][..], "unknown argument `--fast`"),
        (&["--binaries", "/nonexistent"], "a directory with verdigris and verdigris-load"),
    ] {
        let (code, said) = machine::script("scripts/demo", "nowhere", arguments);
        assert!(code == 2 && said.contains(words), "{said}");
    }
}
