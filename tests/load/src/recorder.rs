//! Where all clients write down what became of their requests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::config::Kind;
use crate::histogram::Histogram;
use crate::loss::{Loss, Reason};
use crate::report::{Answer, Counts, KindReport, Latency, LostRequest, Report, Seen};

/// So many lost requests are told one by one; the rest are only counted.
const TOLD: usize = 1000;
/// So many answers are kept one by one, which is some hundred megabytes.
const KEPT: usize = 1_000_000;

/// Shared by all clients.
pub(crate) struct Recorder {
    targets: Vec<String>,
    keep: Vec<Kind>,
    started: Instant,
    started_wall: SystemTime,
    tally: Mutex<Tally>,
}

#[derive(Default)]
struct Tally {
    kinds: BTreeMap<Kind, KindTally>,
    targets: BTreeMap<usize, Counts>,
    seen: BTreeMap<(usize, Kind, Identity), Span>,
    losses: Vec<LostRequest>,
    answers: Vec<Answer>,
}

#[derive(Default)]
struct KindTally {
    counts: Counts,
    connections: u64,
    reasons: BTreeMap<Reason, u64>,
    latency: Histogram,
}

/// Who answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) colour: String,
    pub(crate) release: String,
}

/// A request that got its proper answer.
pub(crate) struct Answered {
    pub(crate) identity: Identity,
    /// When the head of the answer was here.
    pub(crate) head: Instant,
    /// Whether it was sent once more.
    pub(crate) retried: bool,
}

#[derive(Clone, Copy)]
struct Span {
    answers: u64,
    begun: (Instant, Instant),
    answered: (Instant, Instant),
}

impl Recorder {
    /// Time begins now.
    pub(crate) fn new(targets: Vec<String>, keep: Vec<Kind>) -> Self {
        let (started, started_wall) = (Instant::now(), SystemTime::now());
        Self { targets, keep, started, started_wall, tally: Mutex::default() }
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn connected(&self, kind: Kind) {
        self.tally().kinds.entry(kind).or_default().connections += 1;
    }

    /// A request begun then has been answered just now.
    pub(crate) fn answered(&self, target: usize, kind: Kind, begun: Instant, answer: Answered) {
        let took = begun.elapsed();
        let mut tally = self.tally();
        tally.count(target, kind, false, answer.retried);
        tally.kinds.entry(kind).or_default().latency.record(took);
        if self.keep.contains(&kind) && tally.answers.len() < KEPT {
            tally.answers.push(Answer {
                target: self.targets[target].clone(),
                kind,
                colour: answer.identity.colour.clone(),
                begun_us: self.since_start(begun),
                answer_us: self.since_start(answer.head),
            });
        }
        let span = tally.seen.entry((target, kind, answer.identity)).or_insert(Span {
            answers: 0,
            begun: (begun, begun),
            answered: (answer.head, answer.head),
        });
        span.answers += 1;
        span.begun = widen(span.begun, begun);
        span.answered = widen(span.answered, answer.head);
    }

    /// A request begun then has been given up just now.
    pub(crate) fn lost(
        &self,
        target: usize,
        kind: Kind,
        begun: Instant,
        loss: Loss,
        retried: bool,
    ) {
        let now = Instant::now();
        let mut tally = self.tally();
        tally.count(target, kind, true, retried);
        *tally.kinds.entry(kind).or_default().reasons.entry(loss.reason).or_default() += 1;
        if tally.losses.len() < TOLD {
            tally.losses.push(LostRequest {
                begun_us: self.since_start(begun),
                lost_us: self.since_start(now),
                target: self.targets[target].clone(),
                kind,
                loss,
            });
        }
    }

    /// Everything, with the kept answers: for once, at the end.
    pub(crate) fn final_report(&self) -> Report {
        let answers = std::mem::take(&mut self.tally().answers);
        Report { answers, ..self.report() }
    }

    /// Everything until now, without the kept answers.
    pub(crate) fn report(&self) -> Report {
        let now = Instant::now();
        let tally = self.tally();
        let mut total = Counts::default();
        for counts in tally.targets.values() {
            total.sent += counts.sent;
            total.lost += counts.lost;
            total.retried += counts.retried;
        }
        let started = self.started_wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Report {
            started_unix_us: micros(started),
            lasted_us: self.since_start(now),
            total,
            kinds: tally.kinds.iter().map(|(kind, of_kind)| (*kind, of_kind.report())).collect(),
            targets: tally
                .targets
                .iter()
                .map(|(target, counts)| (self.targets[*target].clone(), *counts))
                .collect(),
            seen: tally.seen.iter().map(|(key, span)| self.seen(key, span)).collect(),
            losses: tally.losses.clone(),
            answers: Vec::new(),
        }
    }

    fn seen(&self, (target, kind, identity): &(usize, Kind, Identity), span: &Span) -> Seen {
        Seen {
            target: self.targets[*target].clone(),
            kind: *kind,
            colour: identity.colour.clone(),
            release: identity.release.clone(),
            answers: span.answers,
            first_begun_us: self.since_start(span.begun.0),
            first_answer_us: self.since_start(span.answered.0),
            last_begun_us: self.since_start(span.begun.1),
            last_answer_us: self.since_start(span.answered.1),
        }
    }

    fn since_start(&self, instant: Instant) -> u64 {
        micros(instant.saturating_duration_since(self.started))
    }

    /// What one client wrote before it panicked is still true.
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn count(&mut self, target: usize, kind: Kind, lost: bool, retried: bool) {
        let of_kind = &mut self.kinds.entry(kind).or_default().counts;
        let of_target = self.targets.entry(target).or_default();
        for counts in [of_kind, of_target] {
            counts.sent += 1;
            counts.lost += u64::from(lost);
            counts.retried += u64::from(retried);
        }
    }
}

impl KindTally {
    fn report(&self) -> KindReport {
        KindReport {
            counts: self.counts,
            connections: self.connections,
            reasons: self.reasons.clone(),
            latency_us: Latency {
                p50: self.latency.permille(500),
                p90: self.latency.permille(900),
                p99: self.latency.permille(990),
                p999: self.latency.permille(999),
                max: self.latency.max(),
            },
        }
    }
}

fn widen((first, last): (Instant, Instant), instant: Instant) -> (Instant, Instant) {
    (first.min(instant), last.max(instant))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
