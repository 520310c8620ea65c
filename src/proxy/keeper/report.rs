//! What a keeper has to say of itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Problems by subject, and figures.
#[derive(Debug, Default)]
pub(crate) struct Report {
    proxy: String,
    problems: Mutex<BTreeMap<String, String>>,
    notice: Mutex<Option<String>>,
    reloads: AtomicU64,
    agreed: AtomicBool,
}

impl Report {
    /// A report on `proxy` with nothing to say yet.
    pub fn new(proxy: &str) -> Self {
        Self { proxy: proxy.to_owned(), ..Self::default() }
    }

    /// Note something worth knowing that is no problem any more; shown until the next one.
    pub fn notice(&self, notice: String) {
        tracing::warn!(proxy = self.proxy, notice);
        *self.notice.lock().unwrap_or_else(PoisonError::into_inner) = Some(notice);
    }

    /// The last thing noted.
    pub fn last_notice(&self) -> Option<String> {
        self.notice.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Set or clear the problem of a subject; what is new is logged.
    pub fn set(&self, subject: &str, problem: Option<String>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        match problem {
            Some(problem) => {
                if problems.get(subject) != Some(&problem) {
                    tracing::warn!(proxy = self.proxy, subject, problem);
                }
                problems.insert(subject.to_owned(), problem);
            }
            None => {
                problems.remove(subject);
            }
        }
    }

    /// The problem of a subject.
    pub fn problem(&self, subject: &str) -> Option<String> {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).get(subject).cloned()
    }

    /// The problems, each once: one may be found in several ways.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told: Vec<String> = Vec::new();
        for problem in problems.values() {
            if !told.contains(problem) {
                told.push(problem.clone());
            }
        }
        told
    }

    /// A reload was ordered.
    pub fn reloaded(&self) {
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// Reloads ordered so far.
    pub fn reloads(&self) -> u64 {
        self.reloads.load(Ordering::Relaxed)
    }

    /// Whether the proxy was last seen to have what it should.
    pub fn set_agreed(&self, agreed: bool) {
        self.agreed.store(agreed, Ordering::Relaxed);
    }

    /// See `set_agreed`.
    pub fn agreed(&self) -> bool {
        self.agreed.load(Ordering::Relaxed)
    }
}
