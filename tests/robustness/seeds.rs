//! The same for what others send and leave: what the fuzz targets start from, whole and broken.

use proptest::prelude::*;

use crate::readings::{check_body, check_consul, check_docker, check_records, check_reports};
use crate::{broken, corpus};

#[test]
fn the_seeds_are_understood() {
    let bodies = corpus(&["fuzz/seeds/body"], "json");
    let taken = |body: &&String| {
        let body = body.as_bytes();
        verdigris::api::fuzzing::request(body).is_ok()
            || verdigris::api::fuzzing::because(body).is_ok()
    };
    // All but the one with a key that nobody knows.
    assert_eq!(bodies.iter().filter(taken).count(), bodies.len() - 1);
    for line in corpus(&["fuzz/seeds/journal"], "jsonl").iter().flat_map(|text| text.lines()) {
        verdigris::journal::fuzzing::record(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    for xml in corpus(&["fuzz/seeds/reports"], "xml") {
        verdigris::cli::fuzzing::report(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    }
}

#[test]
fn the_seeds_keep_the_promises() {
    corpus(&["fuzz/seeds/body"], "json").iter().for_each(|text| check_body(text.as_bytes()));
    corpus(&["fuzz/seeds/journal"], "jsonl").iter().for_each(|text| check_records(text));
    corpus(&["fuzz/seeds/consul"], "json").iter().for_each(|text| check_consul(text.as_bytes()));
    corpus(&["fuzz/seeds/docker"], "json").iter().for_each(|text| check_docker(text.as_bytes()));
    for name in ["docker/log.txt", "reports/junit.tar"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
        let bytes = std::fs::read(path).unwrap();
        check_docker(&bytes);
        check_reports(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn broken_bodies_are_refused_or_sound(text in broken(&["fuzz/seeds/body"], "json")) {
        check_body(text.as_bytes());
    }

    #[test]
    fn broken_journals_are_refused_or_end(text in broken(&["fuzz/seeds/journal"], "jsonl")) {
        check_records(&text);
    }

    #[test]
    fn broken_answers_of_consul_are_refused_or_sound(
        text in broken(&["fuzz/seeds/consul"], "json"),
    ) {
        check_consul(text.as_bytes());
    }

    #[test]
    fn broken_answers_of_an_engine_are_refused_or_sound(
        text in broken(&["fuzz/seeds/docker"], "json"),
    ) {
        check_docker(text.as_bytes());
    }

    #[test]
    fn broken_reports_are_refused_or_sound(text in broken(&["fuzz/seeds/reports"], "xml")) {
        check_reports(text.as_bytes());
    }

    #[test]
    fn any_bytes_at_all_are_refused_or_sound(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_body(&bytes);
        check_records(&String::from_utf8_lossy(&bytes));
        check_consul(&bytes);
        check_docker(&bytes);
        check_reports(&bytes);
    }
}
