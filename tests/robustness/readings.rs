//! What holds for all bytes that others send or leave: shared by the bounded run here and the fuzz
//! targets.

use std::collections::BTreeSet;

use verdigris::api;
use verdigris::deploy::record::{Journalled, Record, StepResult};
use verdigris::deploy::saga::{Decision, State};
use verdigris::deploy::standing::Standing;
use verdigris::deploy::view;
use verdigris::model::{Colour, DeploymentId, Kind, Request, Step};
use verdigris::swarm::{Ids, service_spec};

/// A body is a request that comes back the same, or is refused in words.
pub fn check_body(body: &[u8]) {
    match api::fuzzing::request(body) {
        Ok(request) => check_request(&request),
        Err(refusal) => assert!(!refusal.message.is_empty() && refusal.remedy.is_some()),
    }
    if let Ok(because) = api::fuzzing::because(body) {
        let json = serde_json::to_vec(&because).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(api::fuzzing::because(&json).ok(), Some(because), "it comes back changed");
    }
}

fn check_request(request: &Request) {
    let json = serde_json::to_vec(request).unwrap_or_else(|error| panic!("{error}"));
    let back = api::fuzzing::request(&json).unwrap_or_else(|refusal| panic!("{refusal}"));
    assert_eq!(&back, request, "a stored request comes back changed");
    if let Kind::Deploy { draft } = &request.kind {
        let image = draft.image.pin(&format!("sha256:{}", "0".repeat(64)));
        let release = draft.clone().pin(image);
        let _ = service_spec(&release, Colour::Blue, DeploymentId::new(), &Ids::default());
    }
    check_journal(&[Record::Opened { request: Box::new(request.clone()) }]);
}

/// Lines, each the body of a journal's record: what is understood comes back the same, and what
/// makes sense together leads to an end.
pub fn check_records(text: &str) {
    let records: Vec<Record> = text.lines().map_while(read_record).collect();
    check_journal(&records);
}

fn read_record(line: &str) -> Option<Record> {
    let record = verdigris::journal::fuzzing::record(line).ok()?;
    let json = serde_json::to_string(&record).unwrap_or_else(|error| panic!("{error}"));
    let back = verdigris::journal::fuzzing::record(&json);
    assert_eq!(back.as_ref(), Ok(&record), "a record comes back changed: {json}");
    Some(record)
}

fn check_journal(records: &[Record]) {
    let at = jiff::Timestamp::UNIX_EPOCH;
    let entry = |(seq, record): (usize, &Record)| {
        let seq = u64::try_from(seq).unwrap_or(u64::MAX);
        Journalled { seq, at, record: record.clone() }
    };
    let journal: Vec<Journalled> = records.iter().enumerate().map(entry).collect();
    let Ok(state) = State::replay(&journal) else { return };
    view::view(DeploymentId::new(), &journal).unwrap_or_else(|error| panic!("{error}"));
    let _ = (Standing::of(&state), state.deadline(), records.iter().map(view::told).count());
    let _ = Step::ALL.map(|step| state.needless(step));
    leads_to_an_end(state);
}

/// More decisions than there are steps to do and to undo.
const DECISIONS: usize = 64;

/// Nothing that is decided contradicts the journal, and all of it ends.
fn leads_to_an_end(mut state: State) {
    let none = BTreeSet::new();
    for _ in 0..DECISIONS {
        let records = match state.decide(&none) {
            Decision::Finished => return,
            Decision::Wait => panic!("waits for nothing"),
            Decision::Act(steps) => steps.into_iter().flat_map(acted).collect(),
            Decision::Undo(step) => vec![Record::Undoing { step }, Record::Undone { step }],
            Decision::End(outcome) => vec![Record::Ended { outcome }],
        };
        for record in &records {
            let taken = state.apply(record);
            assert_eq!(taken, Ok(()), "{record:?} was decided");
        }
    }
    panic!("no end after {DECISIONS} decisions");
}

fn acted(step: Step) -> [Record; 2] {
    [Record::Began { step }, Record::Done { step, result: Box::new(StepResult::Nothing) }]
}

/// Whatever Consul answers is read or refused.
pub fn check_consul(body: &[u8]) {
    verdigris::registry::consul::fuzzing::answer(body);
}

/// Whatever an engine answers is read or refused.
pub fn check_docker(body: &[u8]) {
    verdigris::docker::fuzzing::answer(body);
    verdigris::swarm::fuzzing::answer(body);
}

/// Whatever a test container leaves, an archive or its text, is read or refused; and what is
/// reported of it can be read again.
pub fn check_reports(left: &[u8]) {
    for file in verdigris::gate::fuzzing::reports(left).unwrap_or_default() {
        assert!(!file.name.contains('/'), "{} is a path", file.name);
        check_report(&file.xml);
    }
    check_report(&String::from_utf8_lossy(left));
}

fn check_report(xml: &str) {
    let Ok(written) = verdigris::cli::fuzzing::report(xml) else { return };
    let again = verdigris::cli::fuzzing::report(&written);
    again.unwrap_or_else(|error| panic!("{error} in {written}"));
}
