//! The Dockerfiles in `compose/`, against what is built and what the stacks run.

use crate::text;

/// Instructions of a Dockerfile, each with what it is given; lines that end with a backslash go on.
fn instructions(path: &str) -> Vec<(String, String)> {
    let text = text(path).replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let split = |line: &str| {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        (word.to_owned(), rest)
    };
    lines.map(split).collect()
}

fn of<'a>(instructions: &'a [(String, String)], word: &str) -> Vec<&'a str> {
    let those = instructions.iter().filter(|(name, _)| name == word);
    those.map(|(_, rest)| rest.as_str()).collect()
}

/// The command that the Dockerfile's head says to build it with.
fn told(path: &str) -> String {
    let text = text(path);
    let line = text.lines().find(|line| line.starts_with("#   docker build")).unwrap();
    line.trim_start_matches("#   ").to_owned()
}

#[test]
fn the_daemons_image_runs_the_binary_that_is_built_and_the_proxy_beside_it() {
    let path = "compose/verdigris/Dockerfile";
    let steps = instructions(path);
    let words: Vec<&str> = steps.iter().map(|(word, _)| word.as_str()).collect();
    assert_eq!(words, ["FROM", "RUN", "COPY", "ENTRYPOINT"]);
    let name = env!("CARGO_PKG_NAME");
    assert_eq!(of(&steps, "COPY"), [format!("{name} /usr/local/bin/{name}")]);
    assert_eq!(of(&steps, "ENTRYPOINT"), [format!("[\"{name}\"]")]);
    // compose/proxy runs HAProxy from it; the daemon checks with it, and trusts who the system does.
    let installed = of(&steps, "RUN")[0];
    assert!(installed.contains(" haproxy") && installed.contains(" ca-certificates"));
    let build = told(path);
    assert!(build.ends_with(" target/release"), "{build}");
    assert!(build.contains(&format!("--file {path} ")), "{build}");
    assert!(build.contains("--tag 127.0.0.1:5000/verdigris:latest "), "{build}");
    let stack = text("compose/verdigris/stack.yml");
    assert!(
        stack.contains("image: ${REGISTRY:-127.0.0.1:5000}/verdigris:${VERDIGRIS_TAG:-latest}")
    );
    assert!(stack.contains("command: [serve]"));
}

#[test]
fn the_samples_images_are_the_binaries_and_nothing_else() {
    let path = "compose/books-ms/Dockerfile";
    let steps = instructions(path);
    let binaries = ["books-ms-tests", "books-ms"];
    assert_eq!(of(&steps, "FROM"), binaries.map(|name| format!("scratch AS {name}")));
    assert_eq!(of(&steps, "COPY"), binaries.map(|name| format!("{name} /{name}")));
    assert_eq!(of(&steps, "ENTRYPOINT"), binaries.map(|name| format!("[\"/{name}\"]")));
    let manifest = text("compose/books-ms/Cargo.toml");
    assert!(manifest.contains("name = \"books-ms\""));
    assert!(crate::compose("books-ms/src/bin/books-ms-tests/main.rs").exists());
    // The last one is what is built when nothing is said, and serves where the stack looks for it.
    let stack = text("compose/books-ms/stack.yml");
    let port = of(&steps, "EXPOSE")[0];
    assert!(stack.contains(&format!("      port: {port}\n")), "{port}");
    assert!(stack.contains("test: [\"CMD\", \"/books-ms\", \"health\"]"));
    // The same without Docker.
    assert!(text("scripts/images").contains("books-ms-tests"));
}
