//! The direction of dependencies, as ARCHITECTURE.md draws it.

use std::path::{Path, PathBuf};

/// What each module may name of its siblings. A module that is absent here may name anything.
const MAY_NAME: [(&str, &[&str]); 16] = [
    ("model", &[]),
    ("document", &["model"]),
    ("stack", &["document", "model"]),
    ("config", &["document", "model"]),
    ("deploy", &["model"]),
    ("discovery", &["deploy", "model"]),
    ("lines", &[]),
    ("sqlite", &["deploy", "model"]),
    ("tls", &[]),
    ("docker", &["deploy", "lines", "model", "tls"]),
    ("swarm", &["deploy", "docker", "lines", "model"]),
    ("gate", &["deploy", "docker", "lines", "model", "tls"]),
    ("registry", &["deploy", "model", "sqlite"]),
    ("journal", &["deploy", "model", "sqlite"]),
    ("proxy", &["deploy", "model", "tls"]),
    ("client", &["api", "deploy", "model"]),
];

fn sources(module: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![src.join(format!("{module}.rs"))];
    let mut folders = vec![src.join(module)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.ends_with("tests") {
                // Tests may reach across.
            } else if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The siblings that a source names, each with its line.
fn named(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        for part in code.split("crate::").skip(1) {
            let name: String =
                part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            found.push((number + 1, name));
        }
    }
    found
}

#[test]
fn modules_depend_in_one_direction() {
    let mut wrong = Vec::new();
    for (module, allowed) in MAY_NAME {
        for path in sources(module) {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            for (line, name) in named(&text) {
                if !name.is_empty() && name != module && !allowed.contains(&name.as_str()) {
                    wrong.push(format!("{}:{line}: `{module}` names `{name}`", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_scan_sees_what_is_there() {
    assert_eq!(named("use crate::model::Colour; // crate::api").len(), 1);
    assert!(sources("deploy").len() > 10);
}
