//! README.md.

use std::collections::BTreeSet;
use std::path::Path;

use verdigris::model::{Check, ExitCode};
use verdigris::stack::{self, Options, Source};

use crate::documents::{block, blocks, table};
use crate::shell::{self, commands, names_what_is_there};
use crate::{configuration, text};

/// The stack file that it shows.
pub fn stack() -> String {
    block(&text("README.md"), "yaml", &["x-verdigris:"])
}

/// The configuration that it shows.
pub fn config() -> String {
    block(&text("README.md"), "toml", &["[daemon]"])
}

fn in_jenkins() -> String {
    let pipeline = block(&text("README.md"), "groovy", &["stage("]);
    let (_, script) = pipeline.split_once("sh '''").unwrap();
    script.split_once("'''").unwrap().0.to_owned()
}

#[tokio::test]
async fn every_command_does_what_it_says() {
    let readme = text("README.md");
    let mut lines: Vec<String> = blocks(&readme)
        .into_iter()
        .filter(|block| block.language == "sh")
        .flat_map(|block| commands(&block.text))
        .collect();
    lines.extend(commands(&in_jenkins()));
    let mut verbs = BTreeSet::new();
    for line in &lines {
        match line.split(' ').next().unwrap() {
            "verdigris" => {
                let (ran, _daemon) = shell::run(line).await;
                assert_eq!(ran.code, Some(0), "`{line}`: {ran:?}");
                verbs.extend(shell::verb(line));
            }
            // They are what runs this, or are run whole by tests on real parts (`tests/real/demo.rs`);
            // here each says what it is for without doing it.
            script if script.starts_with("scripts/") => {
                names_what_is_there(line);
                let told = tokio::process::Command::new(crate::project(script))
                    .arg("--help")
                    .output()
                    .await
                    .unwrap();
                assert!(told.status.success(), "`{script} --help`: {told:?}");
                let told = String::from_utf8(told.stdout).unwrap();
                assert!(told.starts_with(&format!("usage: {script}")), "{told}");
            }
            // What the demo and the bench run before they begin.
            "cargo" => assert!(line.starts_with("cargo install --locked --path . "), "{line}"),
            _ => panic!("README.md has `{line}`: say here how it is run"),
        }
    }
    assert!(lines.len() >= 10 && verbs.len() >= 8, "{lines:?}");
}

#[tokio::test]
async fn what_its_commands_print_is_what_their_comments_say() {
    let (ran, _daemon) = shell::run("verdigris colour books-ms").await;
    assert_eq!(ran.out, "blue\n");
    let (ran, daemon) = shell::run("verdigris check stack.yml").await;
    assert_eq!(ran.out, "good: stack.yml: books-ms\n");
    assert_eq!(daemon.fake.calls(), [], "check is offline");
}

#[tokio::test]
async fn the_pipeline_gets_the_report_that_it_publishes() {
    let lines = commands(&in_jenkins());
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    let (ran, daemon) = shell::run(line).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let pipeline = block(&text("README.md"), "groovy", &["stage("]);
    let (_, published) = pipeline.split_once("junit '").unwrap();
    let published = published.split_once('\'').unwrap().0;
    let report = std::fs::read_to_string(daemon.directory.path().join(published)).unwrap();
    assert!(report.contains("<testsuites name=\"verdigris\""), "{report}");
}

#[test]
fn the_stack_file_has_what_the_text_says_of_it() {
    let source =
        Source { name: "README.md".to_owned(), text: stack(), base: "/nonexistent".into() };
    let draft = stack::load_one(&source, &Options::default())
        .unwrap_or_else(|problems| panic!("{problems}"));
    let gates = &draft.policy.gates;
    assert!(matches!(gates.pre_deployment[0].check, Check::Container(_)));
    assert!(matches!(gates.pre_integration[0].check, Check::Http(_)));
    assert!(draft.policy.route.is_some() && draft.policy.retain.releases == 1);
}

#[test]
fn the_configuration_is_valid() {
    let config = configuration::parse(Path::new("/README.md"), &config());
    assert_eq!(config.proxies.len(), 1);
}

const CODES: [ExitCode; 14] = [
    ExitCode::Success,
    ExitCode::Internal,
    ExitCode::Invalid,
    ExitCode::Start,
    ExitCode::PreGate,
    ExitCode::PostGate,
    ExitCode::Proxy,
    ExitCode::Stuck,
    ExitCode::Locked,
    ExitCode::Superseded,
    ExitCode::Approval,
    ExitCode::Deadline,
    ExitCode::Unreachable,
    ExitCode::Aborted,
];

/// A code that is new does not get past this.
fn is_listed(code: ExitCode) -> bool {
    match code {
        ExitCode::Success
        | ExitCode::Internal
        | ExitCode::Invalid
        | ExitCode::Start
        | ExitCode::PreGate
        | ExitCode::PostGate
        | ExitCode::Proxy
        | ExitCode::Stuck
        | ExitCode::Locked
        | ExitCode::Superseded
        | ExitCode::Approval
        | ExitCode::Deadline
        | ExitCode::Unreachable
        | ExitCode::Aborted => CODES.contains(&code),
    }
}

/// `verdigris deploy --help`, README.md and the code list the same exit codes.
#[test]
fn the_exit_codes_are_those_of_the_code() {
    assert!(CODES.into_iter().all(is_listed));
    let codes: BTreeSet<i32> = CODES.into_iter().map(|code| code as i32).collect();
    let rows = table(&text("README.md"), "exit");
    let told = rows.iter().flat_map(|row| row[0].split(", "));
    let told: BTreeSet<i32> = told.map(|code| code.parse().unwrap()).collect();
    assert_eq!(told, codes);
    let help = verdigris::cli::command().render_long_help().to_string();
    let (_, listed) = help.split_once("Exit codes:\n").unwrap();
    let listed = listed.lines().map_while(|line| line.split_whitespace().next()?.parse().ok());
    assert_eq!(listed.collect::<BTreeSet<i32>>(), codes);
}

/// The names of the variables in `text` that tests are told by.
fn told_variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    words.filter(|word| word.starts_with("TEST_") && word.len() > 5).collect()
}

#[test]
fn the_variables_that_tests_are_told_exist() {
    let (readme, code) = (text("README.md"), text("src/gate/environment.rs"));
    let (told, known) = (told_variables(&readme), told_variables(&code));
    assert!(told.len() >= 5 && told.is_subset(&known), "{told:?} {known:?}");
}
