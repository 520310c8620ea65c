//! What came of it all, for people and for machines.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::config::Kind;
use crate::loss::{Loss, Reason};

/// What came of a load. All instants are µs after `started_unix_us`, taken from the monotonic
/// clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// When it began, in µs of Unix time.
    pub started_unix_us: u64,
    /// How long it has lasted, in µs.
    pub lasted_us: u64,
    /// Everything together.
    pub total: Counts,
    /// By kind of client.
    pub kinds: BTreeMap<Kind, KindReport>,
    /// By target.
    pub targets: BTreeMap<String, Counts>,
    /// Who answered, through which target, to which kind of client, and when.
    pub seen: Vec<Seen>,
    /// The first of the lost requests.
    pub losses: Vec<LostRequest>,
    /// Every answer to clients of the kinds that [`Config::keep`](crate::Config::keep) names, in
    /// the order in which they were complete.
    pub answers: Vec<Answer>,
}

/// How many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Requests whose fate is known: answered or lost.
    pub sent: u64,
    /// Of these, without a proper answer.
    pub lost: u64,
    /// Requests that a standard client sent once more; they are counted as sent only once.
    pub retried: u64,
}

impl Counts {
    /// Requests that got a proper answer.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.sent - self.lost
    }
}

/// What came of the clients of one kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KindReport {
    /// How many.
    #[serde(flatten)]
    pub counts: Counts,
    /// Connections opened.
    pub connections: u64,
    /// The lost ones by reason.
    pub reasons: BTreeMap<Reason, u64>,
    /// Of the answered ones; for a stream: until it had ended.
    pub latency_us: Latency,
}

/// Latencies in µs, right within 1/32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: u64,
    /// Nine of ten were not slower.
    pub p90: u64,
    /// 99 of 100 were not slower.
    pub p99: u64,
    /// 999 of 1000 were not slower.
    pub p999: u64,
    /// The slowest.
    pub max: u64,
}

/// Proper answers from one colour of one release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Through which target.
    pub target: String,
    /// To which kind of client.
    pub kind: Kind,
    /// Who answered; empty if it did not say.
    pub colour: String,
    /// Who answered; empty if it did not say.
    pub release: String,
    /// How many.
    pub answers: u64,
    /// When the earliest of these requests was begun: before its connection, if it needed one.
    pub first_begun_us: u64,
    /// When the head of the first answer arrived.
    pub first_answer_us: u64,
    /// When the latest of these requests was begun.
    pub last_begun_us: u64,
    /// When the head of the last answer arrived.
    pub last_answer_us: u64,
}

/// One proper answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Through which target.
    pub target: String,
    /// To which kind of client.
    pub kind: Kind,
    /// Who answered; empty if it did not say.
    pub colour: String,
    /// When the request was begun: before its connection, if it needed one.
    pub begun_us: u64,
    /// When the head of the answer arrived.
    pub answer_us: u64,
}

/// One lost request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostRequest {
    /// When it was begun.
    pub begun_us: u64,
    /// When it was given up.
    pub lost_us: u64,
    /// Where it went.
    pub target: String,
    /// Who sent it.
    pub kind: Kind,
    /// Why it is lost.
    #[serde(flatten)]
    pub loss: Loss,
}

impl Report {
    /// Of the clients of one kind; zeroes if there were none.
    #[must_use]
    pub fn kind(&self, kind: Kind) -> KindReport {
        self.kinds.get(&kind).cloned().unwrap_or_default()
    }

    /// Proper answers by a colour, over all targets and kinds.
    #[must_use]
    pub fn answers_of(&self, colour: &str) -> u64 {
        self.seen.iter().filter(|seen| seen.colour == colour).map(|seen| seen.answers).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { sent, lost, retried } = self.total;
        let tenths = self.lasted_us / 100_000;
        writeln!(f, "{}.{} s: {sent} requests sent, {lost} lost", tenths / 10, tenths % 10)?;
        for (kind, report) in &self.kinds {
            writeln!(f, "  {kind:<9} {report}")?;
        }
        if retried > 0 {
            writeln!(f, "  {retried} were sent once more by standard clients")?;
        }
        for loss in self.losses.iter().take(10) {
            let millis = loss.begun_us / 1000;
            writeln!(f, "  lost at {millis} ms, {} via {}: {}", loss.kind, loss.target, loss.loss)?;
        }
        Ok(())
    }
}

impl fmt::Display for KindReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counts, connections, latency_us, .. } = self;
        write!(
            f,
            "{:>8} sent {:>5} lost {:>7} connections  p50 {} p99 {} max {} µs",
            counts.sent, counts.lost, connections, latency_us.p50, latency_us.p99, latency_us.max
        )?;
        for (reason, count) in &self.reasons {
            write!(f, "  {reason} {count}")?;
        }
        Ok(())
    }
}
