//! The help of every verb, as it stands.

use crate::run::{finish, program};

async fn help(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let child = program(directory.path()).args(arguments).arg("--help").spawn().unwrap();
    finish(child).await.expect(0).out
}

#[tokio::test]
async fn every_verb_has_help_with_examples() {
    let mut verbs = vec![String::new()];
    verbs
        .extend(verdigris::cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()));
    assert!(verbs.len() > 18, "{verbs:?}");
    for verb in verbs {
        let arguments: Vec<&str> = verb.split_whitespace().collect();
        let text = help(&arguments).await;
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        if !verb.is_empty() {
            assert!(text.contains("Examples:\n  verdigris "), "{verb}: {text}");
        }
        let name = if verb.is_empty() { "verdigris" } else { &verb };
        insta::with_settings!({ snapshot_path => "help", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, text);
        });
    }
}

#[tokio::test]
async fn the_command_line_is_sound() {
    verdigris::cli::command().debug_assert();
}
