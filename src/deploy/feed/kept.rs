use crate::deploy::outlets::written;
use crate::model::{Event, Happening};

/// Bytes of gate output kept for followers; beyond that the oldest half goes. An endless gate must not
/// fill the memory, and what matters of a gate that fails stands at the end.
pub(super) const OUTPUT: usize = 4 << 20;

/// Bytes of JUnit reports kept for followers.
const REPORTS: usize = 32 << 20;

/// The events of a deployment that followers can still have.
#[derive(Default)]
pub(super) struct Kept {
    /// By their number; where some are missing there is a note that says so.
    events: Vec<Event>,
    output: usize,
    reports: usize,
    /// Lines that went, and the number of the note that says so.
    gone: usize,
    gap: Option<u64>,
    /// Bytes of output that the log was given, or would have been.
    pub(super) logged: usize,
    /// It was said that the log does not get everything.
    pub(super) behind: bool,
}

impl Kept {
    pub(super) fn of(events: Vec<Event>) -> Self {
        let logged = events.iter().map(|event| written(&event.what)).sum();
        let mut kept = Self { logged, ..Self::default() };
        for event in events {
            if let Happening::Gate { .. } = &event.what {
                kept.reports += written(&event.what);
            }
            kept.push(event);
        }
        kept
    }

    /// The number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.events.last().map_or(0, |last| last.seq + 1)
    }

    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// The first event from number `seq` on.
    pub(super) fn from(&self, seq: u64) -> Option<&Event> {
        self.events.get(self.events.partition_point(|event| event.seq < seq))
    }

    /// What is kept of `what`, and what is to be said about the rest.
    pub(super) fn admit(&mut self, what: Happening) -> (Happening, Option<&'static str>) {
        let Happening::Gate { gate, millis, failure, .. } = &what else { return (what, None) };
        let bytes = written(&what);
        if self.reports + bytes <= REPORTS {
            self.reports += bytes;
            return (what, None);
        }
        let (gate, millis, failure) = (gate.clone(), *millis, failure.clone());
        (Happening::Gate { gate, millis, failure, junit: Vec::new() }, Some(TOO_MANY_REPORTS))
    }

    pub(super) fn push(&mut self, event: Event) {
        if let Happening::Output { .. } = &event.what {
            self.output += written(&event.what);
        }
        self.events.push(event);
        if self.output > OUTPUT {
            self.forget(self.output - OUTPUT / 2);
        }
    }

    /// Let the oldest output go, of at least so many bytes.
    fn forget(&mut self, bytes: usize) {
        let mut left = bytes;
        let mut last = None;
        let events = std::mem::take(&mut self.events);
        for event in events {
            let is_output = matches!(event.what, Happening::Output { .. });
            if is_output && left > 0 {
                let size = written(&event.what);
                left = left.saturating_sub(size);
                self.output -= size;
                self.gone += 1;
                last = Some(event);
            } else if self.gap != Some(event.seq) {
                self.events.push(event);
            }
        }
        let Some(last) = last else { return };
        let text = format!("{} older lines of output are not kept here", self.gone);
        let at = self.events.partition_point(|event| event.seq < last.seq);
        self.gap = Some(last.seq);
        self.events.insert(at, Event { what: Happening::Note { text }, ..last });
    }
}

const TOO_MANY_REPORTS: &str =
    "the gates wrote too many JUnit reports: those of this one are left out";
