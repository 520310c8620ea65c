//! What was found, for whoever asks for the status.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use super::lock;
use crate::deploy::ports::Clock;
use crate::model::ServiceName;

/// What was found is shown for the last so many findings of a service.
const KEPT: usize = 20;

/// The findings of each service, and what keeps the reconciler from looking.
pub(super) struct Diary {
    clock: Arc<dyn Clock>,
    drift: Mutex<BTreeMap<ServiceName, VecDeque<String>>>,
    problem: Mutex<Option<String>>,
}

impl Diary {
    /// An empty one, by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, drift: Mutex::default(), problem: Mutex::default() }
    }

    /// The findings of `service`, newest last, each with its instant.
    pub fn drift(&self, service: &ServiceName) -> Vec<String> {
        let drift = lock(&self.drift);
        drift.get(service).map(|lines| lines.iter().cloned().collect()).unwrap_or_default()
    }

    /// Why not everything could be seen.
    pub fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    /// Why not everything can be seen; none when it can.
    pub fn set_problem(&self, problem: Option<String>) {
        *lock(&self.problem) = problem;
    }

    /// Note what was found of `service`; the same thing again is not noted twice in a row.
    pub fn note(&self, service: &ServiceName, line: &str) {
        let mut drift = lock(&self.drift);
        let known = drift.entry(service.clone()).or_default();
        if known.back().is_some_and(|last| last.ends_with(line)) {
            return;
        }
        tracing::warn!(%service, line, "drift");
        if known.len() == KEPT {
            known.pop_front();
        }
        known.push_back(format!("{:.0} {line}", self.clock.now()));
    }

    /// Note what is found of `service` in every look until a person does something about it: once, as
    /// long as it is shown.
    pub fn note_standing(&self, service: &ServiceName, line: &str) {
        let shown = lock(&self.drift)
            .get(service)
            .is_some_and(|known| known.iter().any(|noted| noted.ends_with(line)));
        if !shown {
            self.note(service, line);
        }
    }
}
