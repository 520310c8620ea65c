use std::collections::BTreeMap;
use std::time::Duration;

use crate::document::{At, Problems};
use crate::model::{Asked, Check, CommandCheck, ContainerCheck, Gate, Gates, HttpCheck};

use super::super::block::{CommandRecord, ContainerRecord, GateRecord, GatesRecord, HttpRecord};
use super::super::compose::Pairs;

/// `timeout` of a gate when nothing is said.
pub const GATE_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// What an HTTP gate expects when nothing is said.
const STATUS: u16 = 200;
const METHOD: &str = "GET";
const ATTEMPTS: u32 = 1;

pub(super) fn gates(record: Option<&GatesRecord>, problems: &mut Problems) -> Gates {
    let Some(record) = record else { return Gates::default() };
    report_early(record.pre_deployment.as_deref().unwrap_or_default(), problems);
    let mut point = |gates: Option<&[GateRecord]>| named(gates.unwrap_or_default(), problems);
    Gates {
        pre_deployment: point(record.pre_deployment.as_deref()),
        pre_integration: point(record.pre_integration.as_deref()),
        post_integration: point(record.post_integration.as_ref().map(|gates| gates.as_slice())),
    }
}

/// Before the start there is no instance that could be asked.
fn report_early(records: &[GateRecord], problems: &mut Problems) {
    let asked = records.iter().filter_map(|record| record.0.http.as_ref());
    for path in asked.filter_map(|http| http.path.as_ref()) {
        let what = "nothing of the release runs yet that could be asked";
        let remedy = "make it a gate of `pre_integration`, or ask somebody else by `url`";
        problems.report(&path.place, what, remedy);
    }
}

/// The gates of one point, each with a name of its own.
fn named(records: &[GateRecord], problems: &mut Problems) -> Vec<Gate> {
    let mut names: Vec<String> = Vec::new();
    for name in records.iter().filter_map(|record| record.0.name.as_ref()) {
        let At { value, place } = name;
        if names.contains(&value.0) {
            let what = format!("two gates are called `{}`", value.0);
            problems.report(place, what, "give each a name of its own");
        }
        names.push(value.0.clone());
    }
    let mut gates = Vec::new();
    for record in records {
        let Some(check) = check(record, problems) else { continue };
        let name = match &record.0.name {
            Some(name) => name.value.0.clone(),
            None => free_name(&check, &mut names),
        };
        gates.push(Gate { name, check, timeout: timeout(record, problems) });
    }
    gates
}

/// The kind and the first number that is free: `container-1`.
fn free_name(check: &Check, names: &mut Vec<String>) -> String {
    let kind = match check {
        Check::Container(_) => "container",
        Check::Http(_) => "http",
        Check::Command(_) => "command",
    };
    let numbered = (1..=names.len() + 1).map(|number| format!("{kind}-{number}"));
    let name = numbered.into_iter().find(|name| !names.contains(name)).unwrap_or_default();
    names.push(name.clone());
    name
}

fn timeout(record: &GateRecord, problems: &mut Problems) -> Duration {
    let Some(timeout) = &record.0.timeout else { return GATE_TIMEOUT };
    if timeout.0.is_zero() {
        problems.report(&timeout.place, "it leaves no time", "write for example `5m`");
    }
    timeout.0
}

fn check(record: &GateRecord, problems: &mut Problems) -> Option<Check> {
    let GateRecord(fields) = record;
    let container = fields.container.as_ref().map(|it| Check::Container(container(it, problems)));
    let http = fields.http.as_ref().and_then(|it| http(it, problems)).map(Check::Http);
    let command = fields.command.as_ref().map(|it| Check::Command(command(it, problems)));
    container.or(http).or(command)
}

fn container(record: &ContainerRecord, problems: &mut Problems) -> ContainerCheck {
    ContainerCheck {
        image: record.image.0.clone(),
        entrypoint: record.entrypoint.as_ref().map(|line| line.0.clone()),
        command: record.command.as_ref().map(|line| line.0.clone()),
        env: env(record.env.as_ref(), problems),
        networks: record.networks.iter().flatten().map(|name| name.0.clone()).collect(),
    }
}

fn command(record: &CommandRecord, problems: &mut Problems) -> CommandCheck {
    match record {
        CommandRecord::Line(line) => CommandCheck { argv: line.0.clone(), env: BTreeMap::new() },
        CommandRecord::Fields(fields) => {
            CommandCheck { argv: fields.argv.0.clone(), env: env(fields.env.as_ref(), problems) }
        }
    }
}

fn env(pairs: Option<&Pairs>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for pair in pairs.iter().flat_map(|pairs| &pairs.0) {
        match &pair.value {
            Some(value) => {
                env.insert(pair.key.value.clone(), value.clone());
            }
            None => problems.report(
                &pair.key.place,
                format!("`{}` has no value", pair.key.value),
                format!("write it, or `${{{}}}` to take it from the environment", pair.key.value),
            ),
        }
    }
    env
}

fn http(record: &HttpRecord, problems: &mut Problems) -> Option<HttpCheck> {
    let asked = asked(record);
    let attempts = match &record.attempts {
        None => ATTEMPTS,
        Some(attempts) => {
            if attempts.value.0 == 0 {
                let what = "a gate that is never tried never passes";
                problems.report(&attempts.place, what, "write 1 or more");
            }
            attempts.value.0
        }
    };
    if let (Some(method), Some(body)) = (&record.method, &record.body)
        && method.0 == "HEAD"
    {
        problems.report(&body.place, "answers to `HEAD` have no body", "ask by `GET`");
    }
    Some(HttpCheck {
        method: record.method.as_ref().map_or(METHOD, |method| &method.0).to_owned(),
        asked: asked?,
        status: record.status.as_ref().map_or(STATUS, |status| status.0),
        body: record.body.as_ref().map(|body| body.value.clone()),
        headers: headers(record.headers.as_ref(), problems),
        max_time: record.max_time.as_ref().map(|period| period.0),
        attempts,
    })
}

/// Whom it asks; none where that could not be read.
fn asked(record: &HttpRecord) -> Option<Asked> {
    let HttpRecord { path, url, .. } = record;
    let path = path.as_ref().map(|path| Asked::Release { path: path.value.0.clone() });
    path.or_else(|| Some(Asked::Elsewhere { url: url.as_ref()?.0.clone() }))
}

/// Headers that belong to the connection, which the gate makes itself.
const OURS: [&str; 5] = ["connection", "content-length", "host", "transfer-encoding", "upgrade"];

fn headers(pairs: Option<&Pairs>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for pair in pairs.iter().flat_map(|pairs| &pairs.0) {
        let name = pair.key.value.as_str();
        let value = pair.value.clone().unwrap_or_default();
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if !name.chars().all(token) {
            let what = format!("`{name}` is not a name of a header");
            problems.report(&pair.key.place, what, "use letters, digits and hyphens");
        } else if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            let what = format!("`{name}` is set by the gate itself");
            problems.report(&pair.key.place, what, "remove it");
        } else if !value.chars().all(|c| c == '\t' || c == ' ' || c.is_ascii_graphic()) {
            // The value is not repeated: it may be a credential.
            let what = format!("the value of `{name}` has characters that headers cannot have");
            problems.report(&pair.key.place, what, "use printable ASCII");
        } else {
            headers.insert(name.to_owned(), value);
        }
    }
    headers
}
