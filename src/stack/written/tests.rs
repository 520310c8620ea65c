use std::path::Path;

use super::*;
use crate::stack::load;

/// A draft with something in every place.
fn everything() -> Draft {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/malformed/valid");
    let source = Source::read(&directory.join("everything.yml")).unwrap();
    let variables = [("TAG", "1.0"), ("EMPTY", ""), ("WORDS", "three small words")];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let drafts = load(&source, &Options { environment, ..Options::default() }).unwrap();
    drafts.into_iter().next().unwrap()
}

fn refused(change: impl FnOnce(&mut Draft)) -> String {
    let mut draft = everything();
    change(&mut draft);
    check(&draft).expect_err("it was taken").to_string()
}

#[test]
fn what_a_stack_file_gives_is_taken() {
    check(&everything()).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn a_dollar_is_no_variable_any_more() {
    let mut draft = everything();
    for name in ["PRICE", "x-price"] {
        draft.workload.environment.insert(name.to_owned(), "$5 ${TAG} $$".to_owned());
    }
    draft.workload.command = Some(vec!["echo".to_owned(), "${HOME:?no}".to_owned()]);
    check(&draft).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn the_problem_is_told_as_check_tells_it() {
    let told = refused(|draft| {
        let route = draft.policy.route.as_mut().unwrap();
        route.hosts = vec!["books.example.com:80".to_owned()];
        route.path = "/books; return 200".to_owned();
        draft.workload.replicas = 0;
    });
    for words in [
        "x-verdigris.route.hosts[0]: `books.example.com:80` is not a host name: it has a port",
        "x-verdigris.route.path: `/books; return 200` is not a path",
        "deploy.replicas: a release without replicas",
    ] {
        assert!(told.contains(words), "{words} in {told}");
    }
}

#[test]
fn what_would_be_read_as_something_else_is_refused() {
    let told = refused(|draft| {
        draft.policy.route.as_mut().unwrap().hosts = vec!["Books.Example.com".to_owned()];
    });
    assert!(told.contains("policy.route.hosts[0]: it is not in the form"), "{told}");
    let told = refused(|draft| draft.workload.extra_hosts = vec!["nonsense".to_owned()]);
    assert!(told.contains("extra_hosts"), "{told}");
}
