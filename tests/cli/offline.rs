//! What needs no daemon: check, completions, doctor of a configuration, serve that cannot start.

use std::path::Path;

use crate::run::{Ran, STACK, finish, program};

const CONFIG: &str = "\
[daemon]
state = \"state\"
listen = [\"unix:verdigris.sock\"]
";

async fn run(directory: &Path, arguments: &[&str]) -> Ran {
    finish(program(directory).args(arguments).spawn().unwrap()).await
}

fn write(directory: &Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).unwrap();
}

#[tokio::test]
async fn what_is_here_is_checked_unless_something_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let ran = run(path, &["check"]).await.expect(2);
    assert!(ran.err.starts_with("error: there is nothing to check here\nhelp: "), "{}", ran.err);
    write(path, "stack.yml", STACK);
    write(path, "verdigris.toml", CONFIG);
    write(path, "good.tera", "{{ 1 + 1 }}");
    let ran = run(path, &["check"]).await.expect(0);
    let expected =
        "good: stack.yml: books-ms\ngood: verdigris.toml: configuration with 0 proxies\n";
    assert_eq!(ran.out, expected);
    let ran = run(path, &["check", "good.tera"]).await.expect(0);
    assert_eq!(ran.out, "good: good.tera: template\n");
}

#[tokio::test]
async fn whoever_names_the_stack_file_as_the_service_is_told_how_to_name_it() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "books.yml", STACK);
    for verb in ["deploy", "plan"] {
        let ran = run(directory.path(), &[verb, "books.yml"]).await.expect(2);
        assert!(ran.err.contains("write `--file books.yml`"), "{}", ran.err);
        let ran = run(directory.path(), &[verb, "other.yml"]).await.expect(2);
        assert!(ran.err.contains("`other.yml` is not a service name"), "{}", ran.err);
    }
}

#[tokio::test]
async fn every_problem_of_every_file_is_told_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write(path, "stack.yml", &STACK.replace("8080", "http"));
    write(path, "verdigris.toml", "[daemon]\nstat = 1\n");
    write(path, "wrong.tera", "one\n{% if x %}\n");
    write(path, "readme.md", "hello");
    let files = ["check", "stack.yml", "verdigris.toml", "wrong.tera", "readme.md", "none.yml"];
    let ran = run(path, &files).await.expect(2);
    let lines: Vec<&str> = ran.out.lines().collect();
    for (line, start) in [
        (0, "wrong: stack.yml:6:"),
        (1, "wrong: verdigris.toml:2:"),
        (2, "wrong: wrong.tera:"),
        (3, "wrong: readme.md: neither"),
        (4, "wrong: cannot read stack file `none.yml`"),
    ] {
        assert!(lines[line].starts_with(start), "{start} in {}", ran.out);
    }
    assert_eq!(ran.err, "error: 5 of 5 files are wrong\n");
    let json = run(path, &["check", "--output", "json", "stack.yml"]).await.expect(2).json();
    assert!(json[0]["problems"][0].as_str().unwrap().contains("stack.yml:6:"));
}

#[tokio::test]
async fn a_configuration_is_checked_with_its_templates() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let proxy = "\
[[proxy]]
name = \"edge\"
kind = \"nginx\"
template = \"nginx.conf.tera\"
output = \"nginx.conf\"
flags = \"flags\"
pid_file = \"nginx.pid\"
status = \"http://127.0.0.1:8099\"
http = \"127.0.0.1:8080\"
";
    write(path, "verdigris.toml", &format!("{CONFIG}{proxy}"));
    write(path, "nginx.conf.tera", "events {}\n{{ no_such_thing }}\n");
    let ran = run(path, &["check"]).await.expect(2);
    assert!(ran.out.contains("nginx.conf.tera:2:"), "{}", ran.out);
    assert!(ran.out.contains("no_such_thing"), "{}", ran.out);
    write(path, "nginx.conf.tera", "events {}\n");
    let ran = run(path, &["check"]).await.expect(0);
    assert_eq!(ran.out, "good: verdigris.toml: configuration with 1 proxy\n");
}

/// It parses, and cannot be rendered for any proxy.
#[tokio::test]
async fn a_template_by_itself_is_rendered_for_an_example() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for (text, expected) in [
        ("events {}\n  {{ proxy.nam }}\n", "wrong: edge.tera:2:12: "),
        ("server {\n{% for service in servces %}{% endfor %}\n}\n", "wrong: edge.tera:2:"),
        ("frontend a\n{{ proxy.nam }}\n", "wrong: edge.tera:2:10: "),
        ("{% for s in services %}{{ s.name }}{{ proxy.name }}{% endfor %}", "good: edge.tera: "),
    ] {
        write(path, "edge.tera", text);
        let exit = if expected.starts_with("good") { 0 } else { 2 };
        let ran = run(path, &["check", "edge.tera"]).await.expect(exit);
        assert!(ran.out.starts_with(expected), "{expected} in {}", ran.out);
    }
    for file in ["nginx.conf.tera", "haproxy.cfg.tera"] {
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(file);
        run(path, &["check", template.to_str().unwrap()]).await.expect(0);
    }
}

#[tokio::test]
async fn variables_are_given_to_stack_files() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "stack.yml", &STACK.replace("${TAG:-1.0}", "${TAG:?say which}"));
    let ran = run(directory.path(), &["check"]).await.expect(2);
    assert!(ran.out.contains("say which"), "{}", ran.out);
    run(directory.path(), &["check", "stack.yml", "--var", "TAG=2"]).await.expect(0);
}

#[tokio::test]
async fn the_schema_is_json() {
    let directory = tempfile::tempdir().unwrap();
    let schema = run(directory.path(), &["check", "--schema"]).await.expect(0).json();
    assert!(schema["$defs"]["XVerdigris"]["properties"]["gates"].is_object(), "{schema}");
}

#[tokio::test]
async fn completions_are_scripts_that_know_the_verbs() {
    let directory = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let child = program(directory.path()).args(["completions", shell]).spawn().unwrap();
        let ran = finish(child).await;
        assert_eq!(ran.code, 0);
        assert!(ran.out.contains("rollback") && ran.out.contains("--on-busy"), "{shell}");
    }
}

#[tokio::test]
async fn the_doctor_looks_at_a_configuration_from_here() {
    let directory = tempfile::tempdir().unwrap();
    let engine = "[swarm]\nhost = \"unix:///no/such/docker.sock\"\n";
    write(directory.path(), "verdigris.toml", &format!("{CONFIG}{engine}"));
    let ran = run(directory.path(), &["doctor", "--config", "verdigris.toml"]).await.expect(41);
    let has = |severity: &str, subject: &str| {
        ran.out.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(severity) && words.next() == Some(subject)
        })
    };
    assert!(
        has("good", "state") && has("good", "listener") && has("good", "registry"),
        "{}",
        ran.out
    );
    assert!(has("bad", "engine"), "{}", ran.out);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was made");
}

#[tokio::test]
async fn serve_with_a_wrong_configuration_is_2_and_touches_nothing() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "verdigris.toml", "[daemon]\nlisten = [\"tcp:127.0.0.1:0\"]\nx = 1\n");
    let ran = run(directory.path(), &["serve", "--config", "verdigris.toml"]).await.expect(2);
    assert_eq!(ran.err.lines().count(), 2, "{}", ran.err);
    assert!(ran.err.starts_with("error: verdigris.toml:2:"), "{}", ran.err);
    let ran = run(directory.path(), &["serve", "--config", "none.toml"]).await.expect(2);
    assert!(ran.err.starts_with("error: cannot read configuration `none.toml`: "), "{}", ran.err);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}
