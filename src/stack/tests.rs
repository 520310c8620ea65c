//! What a stack file becomes.

use std::path::PathBuf;
use std::time::Duration;

use super::{Options, Source, load, load_one};
use crate::model::{Check, Draft, Publish};

fn source(text: &str) -> Source {
    Source { name: "stack.yml".to_owned(), text: text.to_owned(), base: PathBuf::from("/nowhere") }
}

fn options(variables: &[(&str, &str)]) -> Options {
    let environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Options { environment, ..Options::default() }
}

fn draft(text: &str) -> Draft {
    load_one(&source(text), &Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

const EXAMPLE: &str = r#"
services:
  books-ms:
    image: ${REGISTRY:-127.0.0.1:5000}/books-ms:${TAG:-latest}
    environment: { DB_HOST: books-db }
    healthcheck: { test: ["CMD", "/books-ms", "health"], interval: 1s, timeout: 1s, retries: 3 }
    networks: [backend]
    secrets: [db_password]
    deploy:
      replicas: 2
      placement: { constraints: ["node.labels.zone == prod"] }
      resources: { limits: { cpus: "0.5", memory: 128M } }
    x-verdigris:
      port: 8080                       # the container port that serves traffic
      publish: host
      route: { hosts: [books.example.com], path: /api/v1/books, tls: true }
      gates:
        pre_deployment:   [ { container: { image: books-ms-tests, env: { SUITE: unit } }, timeout: 10m } ]
        pre_integration:  [ { http: { path: /health, status: 200, body: '"ok"' } }, { container: { image: books-ms-tests } } ]
        post_integration: [ { http: { path: /api/v1/books, status: 200, max_time: 500ms } } ]
      stable_for: 2s
      drain: 30s
      retain: { releases: 1, scale: 0, for: 1h }
      deadline: 15m
"#;

#[test]
fn the_example_becomes_a_draft() {
    let draft = draft(EXAMPLE);
    assert_eq!(draft.service.as_str(), "books-ms");
    assert_eq!(draft.image.to_string(), "127.0.0.1:5000/books-ms:latest");
    assert_eq!(draft.workload.environment["DB_HOST"], "books-db");
    assert_eq!(draft.workload.replicas, 2);
    assert_eq!(draft.workload.resources.limits.nano_cpus, Some(500_000_000));
    assert_eq!(draft.workload.resources.limits.memory, Some(128 * 1024 * 1024));
    assert_eq!(draft.workload.networks[0].name, "backend");
    assert_eq!(draft.workload.secrets[0].target, "db_password");
    let policy = &draft.policy;
    assert_eq!((policy.port, policy.publish), (8080, Publish::Host));
    let route = policy.route.as_ref().unwrap();
    assert_eq!(
        (route.hosts[0].as_str(), route.path.as_str()),
        ("books.example.com", "/api/v1/books")
    );
    assert_eq!(policy.gates.pre_deployment[0].timeout, Duration::from_secs(600));
    assert_eq!(policy.gates.pre_integration[1].name, "container-1");
    let Check::Http(http) = &policy.gates.pre_integration[0].check else { panic!() };
    assert_eq!(http.body.as_deref(), Some("\"ok\""));
    assert_eq!(policy.retain.scale, Some(0));
}

#[test]
fn variables_replace_parts_of_values() {
    let options = options(&[("TAG", "2.0"), ("REGISTRY", "images.example.com")]);
    let drafts = load(&source(EXAMPLE), &options).unwrap();
    assert_eq!(drafts[0].image.to_string(), "images.example.com/books-ms:2.0");
}

#[test]
fn every_key_arrives() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/malformed/valid/everything.yml");
    let source = Source::read(path.as_ref()).unwrap();
    let draft = load_one(&source, &options(&[("TAG", "1.0")])).unwrap_or_else(|e| panic!("{e}"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&draft).unwrap());
}

const TWO: &str = "
services:
  one: { image: 'one:${ONE:?}', x-verdigris: { port: 80 } }
  two: { image: two, x-verdigris: { port: 80 } }
  db: { image: postgres, ports: ['5432'] }
";

fn told(text: &str, options: &Options) -> String {
    load_one(&source(text), options).expect_err("should be refused").to_string()
}

#[test]
fn a_service_is_chosen_by_name_and_the_others_are_left_alone() {
    let chosen = |service: &str| Options { service: Some(service.to_owned()), ..<_>::default() };
    let draft = load_one(&source(TWO), &chosen("two")).unwrap();
    assert_eq!(draft.service.as_str(), "two");
    for (service, words) in [
        ("db", "`db` has no `x-verdigris` block"),
        ("tow", "there is no service `tow`; did you mean `two`?"),
        ("zebra", "those to deploy are one, two"),
        ("one", "the variable `ONE` is not set"),
    ] {
        let told = told(TWO, &chosen(service));
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn without_a_name_there_must_be_one_service() {
    let told = told(TWO, &options(&[("ONE", "1")]));
    assert!(told.contains("there are several services to deploy: `one`, `two`"), "{told}");
    assert_eq!(load(&source(TWO), &options(&[("ONE", "1")])).unwrap().len(), 2);
}

#[test]
fn an_image_from_outside_replaces_the_files_whose_variables_then_need_not_be_set() {
    let image: crate::model::ImageRef = "other:2".parse().unwrap();
    let options = Options {
        service: Some("one".to_owned()),
        image: Some(image.clone()),
        ..Options::default()
    };
    assert_eq!(load_one(&source(TWO), &options).unwrap().image, image);
    let without = "services: { one: { x-verdigris: { port: 80 } } }";
    assert_eq!(load_one(&source(without), &options).unwrap().image, image);
    let all = Options { service: None, ..options };
    assert!(load(&source(TWO), &all).is_err(), "one image for two services");
}

#[test]
fn defaults_are_filled_in() {
    let policy = draft("services: { a: { image: a, x-verdigris: { port: 80 } } }").policy;
    assert_eq!((policy.stable_for, policy.drain), (super::STABLE_FOR, super::DRAIN));
    assert_eq!((policy.deadline, policy.publish), (super::DEADLINE, Publish::Host));
    assert_eq!((policy.retain.releases, policy.approve, policy.bake), (0, None, None));
    let block =
        "{ port: 80, approve: yes, bake: { for: 1m }, retain: {}, route: { hosts: [A.b] } }";
    let policy = draft(&format!("services: {{ a: {{ image: a, x-verdigris: {block} }} }}")).policy;
    assert_eq!(policy.approve.unwrap().expires, super::APPROVAL_EXPIRES);
    let bake = policy.bake.unwrap();
    assert_eq!(bake.min_requests, super::BAKE_MIN_REQUESTS);
    assert!((bake.max_errors - super::BAKE_MAX_ERRORS).abs() < f64::EPSILON);
    assert_eq!((policy.retain.releases, policy.retain.scale), (1, None));
    let route = policy.route.unwrap();
    assert_eq!((route.hosts[0].as_str(), route.path.as_str(), route.tls), ("a.b", "/", true));
}

#[test]
fn names_in_the_swarm_are_the_declared_ones_or_the_keys() {
    let text = "
services:
  a:
    image: a
    volumes: ['data-{{.Task.Slot}}:/data']
    hostname: 'a-{{.Task.Slot}}'
    x-verdigris: { port: 80 }
networks:
  default: { name: shared }
";
    let workload = draft(text).workload;
    assert_eq!(workload.networks[0].name, "shared", "the default network, because it is declared");
    assert_eq!(workload.mounts[0].source.as_deref(), Some("data-{{.Task.Slot}}"));
    let undeclared = text.replace("networks:\n  default: { name: shared }\n", "");
    assert!(draft(&undeclared).workload.networks.is_empty());
}

#[test]
fn the_process_wins_over_dotenv_and_dotenv_over_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write(".env", "TAG=dotenv\nOTHER=\"from dotenv\"\n");
    write("a.env", "A=file\nB=${TAG}\nOTHER\n");
    let text = "services: { a: { image: 'a:${TAG}', env_file: a.env, environment: { A: own }, \
                x-verdigris: { port: 80 } } }";
    let source = Source { base: directory.path().to_owned(), ..source(text) };
    let draft = load_one(&source, &Options::default()).unwrap();
    assert_eq!(draft.image.tag(), Some("dotenv"));
    let environment: Vec<_> = draft.workload.environment.into_iter().collect();
    let expected = [("A", "own"), ("B", "dotenv"), ("OTHER", "from dotenv")];
    assert_eq!(environment, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let draft = load_one(&source, &options(&[("TAG", "process")])).unwrap();
    assert_eq!(draft.image.tag(), Some("process"));

    write("a.env", "A='sesame\n");
    let told = load_one(&source, &Options::default()).unwrap_err().to_string();
    assert!(told.contains("a.env:1:1: a quote is never closed"), "{told}");
    write(".env", "=sesame\n");
    let told = load_one(&source, &Options::default()).unwrap_err().to_string();
    assert!(told.contains(".env:1:1: the line does not begin with a name"), "{told}");
    assert!(!told.contains("sesame"), "{told}");
}

#[test]
fn a_value_cannot_become_structure() {
    let hostile = "x\n    privileged: true\n    # ";
    let text = "services: { a: { image: a, environment: { A: '${V}' }, user: '${V}', \
                x-verdigris: { port: 80 } } }";
    let draft = load_one(&source(text), &options(&[("V", hostile)])).unwrap();
    assert_eq!(draft.workload.environment["A"], hostile);
    assert_eq!(draft.workload.user.as_deref(), Some(hostile));
}

#[test]
fn secrets_are_not_repeated() {
    let text = "
services:
  a:
    image: a
    environment: { PASSWORD: sesame, NESTED: [sesame], VERDIGRIS_COLOUR: sesame }
    command: ['$sesame']
    healthcheck: sesame
    x-verdigris:
      port: 80
      gates:
        pre_integration:
          - http: { path: /, headers: { Authorization: \"Bearer sesame\\n\", Host: sesame } }
";
    let told = told(text, &Options::default());
    assert_eq!(told.lines().count(), 6, "{told}");
    // A variable must be named to be set; nothing else may show.
    let told =
        told.replace("variable `sesame`", "").replace("set `sesame`", "").replace("${sesame:", "");
    assert!(!told.contains("sesame"), "{told}");
}

#[test]
fn two_services_with_the_same_host_and_path_are_refused_with_both_places() {
    let service = |name: &str, route: &str| {
        format!(
            "  {name}:\n    image: a\n    x-verdigris:\n      port: 80\n      route: {{ {route} }}\n"
        )
    };
    let books = service("books", "hosts: [a.example.com, b.example.com], path: /x");
    let other = |route| format!("services:\n{books}{}", service("other", route));
    for free in ["hosts: [b.example.com]", "hosts: [c.example.com], path: /x"] {
        assert_eq!(load(&source(&other(free)), &Options::default()).unwrap().len(), 2);
    }
    let taken = other("hosts: [B.example.com], path: /x");
    let error = load(&source(&taken), &Options::default()).unwrap_err().to_string();
    let expected = "stack.yml:11:23: services.other.x-verdigris.route.hosts: the route b.example.com/x is \
        that of service `books` at stack.yml:6:23, too; give one of the two another host or path";
    assert!(error.contains(expected), "{error}");
    let only = Options { service: Some("other".to_owned()), ..Options::default() };
    assert_eq!(load(&source(&taken), &only).unwrap().len(), 1);
}
