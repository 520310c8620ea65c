//! The examples in the help of every verb.

use std::collections::BTreeSet;

use crate::shell;

/// Examples of `verb`: what stands below `Examples:`.
fn examples(verb: &mut clap::Command) -> Vec<String> {
    let help = verb.render_long_help().to_string();
    let Some((_, examples)) = help.split_once("Examples:\n") else { return Vec::new() };
    let lines = examples.lines().take_while(|line| line.starts_with("  "));
    lines.map(|line| line.trim().to_owned()).collect()
}

/// How an example ends in a world where there is a daemon and no engine.
fn expected(line: &str) -> i32 {
    // It looks from here, and finds neither Swarm nor Consul.
    if line.starts_with("verdigris doctor --config") { 41 } else { 0 }
}

#[tokio::test]
async fn every_example_does_what_it_says() {
    let mut command = verdigris::cli::command();
    let mut run = BTreeSet::new();
    for verb in command.get_subcommands_mut() {
        let name = verb.get_name().to_owned();
        for line in examples(verb) {
            let (ran, _daemon) = shell::run(&line).await;
            assert_eq!(ran.code, Some(expected(&line)), "`{line}`: {ran:?}");
            assert!(!ran.err.contains("panicked"), "`{line}`: {ran:?}");
            run.insert(name.clone());
        }
    }
    assert!(run.len() >= 18, "{run:?}");
}

#[tokio::test]
async fn examples_that_go_on_in_other_programs_work_there() {
    let (ran, _daemon) =
        shell::run("docker service logs books-ms-$(verdigris colour books-ms)").await;
    assert_eq!(ran.out, "docker service logs books-ms-blue\n");
    let line = "verdigris instances books-ms --output json | jq -r '.[].instance.address'";
    let (ran, _daemon) = shell::run(line).await;
    assert!(
        ran.out.lines().all(|line| line.starts_with("10.0.0.2:")) && !ran.out.is_empty(),
        "{ran:?}"
    );
    let (ran, _daemon) =
        shell::run("verdigris status books-ms --output json | jq '.services[0].live'").await;
    assert_eq!(ran.out, "\"blue\"\n");
}
