//! What processes count.

use std::collections::BTreeMap;

use super::sockets::{Process, Sockets, refused};
use crate::deploy::ports::Answers;
use crate::proxy::error::Result;

/// What each process last said of each backend. A process that ends takes its counters with it, so
/// the last ones seen are kept.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    seen: BTreeMap<(String, Option<i32>), Answers>,
}

impl Tally {
    /// Process `pid` says `answers` of `backend`.
    pub fn note(&mut self, pid: Option<i32>, backend: &str, answers: Answers) {
        self.seen.insert((backend.to_owned(), pid), answers);
    }

    /// All answers of `backend` so far.
    pub fn of(&self, backend: &str) -> Answers {
        let of_backend = self.seen.iter().filter(|((name, _), _)| name == backend);
        of_backend.fold(Answers::default(), |sum, (_, answers)| Answers {
            total: sum.total + answers.total,
            errors: sum.errors + answers.errors,
        })
    }
}

/// Rows of `show stat`.
const FRONTENDS: u8 = 1;
const BACKENDS_AND_SERVERS: u8 = 2 | 4;

/// Requests that `process` has under way or queued on `backend`.
pub(crate) async fn in_flight(sockets: &Sockets, process: &Process, backend: &str) -> Result<u64> {
    let rows = rows(sockets, process, backend).await?;
    let busy = rows.iter().map(|row| figure(row, "scur") + figure(row, "qcur"));
    Ok(busy.max().unwrap_or(0))
}

/// Connections of clients to `process` on which no request is under way, and which may bring one yet.
/// Those of HTTP/2 are told that it is over when a process is replaced.
pub(crate) async fn idle(sockets: &Sockets, process: &Process) -> Result<u64> {
    let answer = sockets.ask(process, &format!("show stat -1 {FRONTENDS} -1")).await?;
    Ok(parse(&answer).iter().map(quiet).sum())
}

fn quiet(frontend: &Row) -> u64 {
    let busy = figure(frontend, "h1_open_streams");
    figure(frontend, "h1_open_connections").saturating_sub(busy)
}

/// What `process` has answered for `backend`.
pub(crate) async fn answers(
    sockets: &Sockets,
    process: &Process,
    backend: &str,
) -> Result<Answers> {
    let rows = rows(sockets, process, backend).await?;
    let Some(row) = rows.iter().find(|row| row.get("svname").is_some_and(|n| n == "BACKEND"))
    else {
        return Ok(Answers::default());
    };
    let classes = ["hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"];
    Ok(Answers {
        total: classes.iter().map(|class| figure(row, class)).sum(),
        errors: figure(row, "hrsp_5xx"),
    })
}

type Row = BTreeMap<String, String>;

fn figure(row: &Row, column: &str) -> u64 {
    row.get(column).and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn rows(sockets: &Sockets, process: &Process, backend: &str) -> Result<Vec<Row>> {
    let command = format!("show stat {backend} {BACKENDS_AND_SERVERS} -1");
    let answer = sockets.ask(process, &command).await?;
    let rows = parse(&answer);
    // A process that was started before the service has no such backend, so nothing under way on it.
    if answer.trim().is_empty() || !rows.is_empty() || answer.contains("No such proxy") {
        return Ok(rows);
    }
    if answer.starts_with('#') { Ok(rows) } else { Err(refused(&command, &answer)) }
}

/// CSV with a head that starts with `# `; none of the columns used is ever quoted.
fn parse(answer: &str) -> Vec<Row> {
    let mut lines = answer.lines().filter(|line| !line.is_empty());
    let Some(head) = lines.next().and_then(|line| line.strip_prefix("# ")) else {
        return Vec::new();
    };
    let row = |line: &str| {
        let cells = line.split(',').map(str::to_owned);
        head.split(',').map(str::to_owned).zip(cells).collect()
    };
    lines.map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_said_last_outlives_it() {
        let mut tally = Tally::default();
        let answers = |total, errors| Answers { total, errors };
        tally.note(Some(1), "b", answers(5, 1));
        tally.note(Some(1), "b", answers(7, 1));
        tally.note(Some(2), "b", answers(3, 2));
        tally.note(Some(2), "other", answers(9, 9));
        assert_eq!(tally.of("b"), answers(10, 3));
    }

    #[test]
    fn columns_are_found_by_name() {
        let rows = parse("# pxname,svname,scur\nb,s1,2\nb,BACKEND,3\n\n");
        assert_eq!(rows.len(), 2);
        assert_eq!(figure(&rows[1], "scur"), 3);
    }
}
