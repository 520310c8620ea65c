//! What all requests share: who we are, what is wrong with us, how long we have served.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::http::HeaderMap;

use crate::fault::Fault;
use crate::identity::Identity;

/// Shared by all requests.
#[derive(Debug)]
pub struct AppState {
    /// Sent with every answer.
    pub identity: Identity,
    fault: Fault,
    started: Instant,
    served: AtomicU64,
}

impl AppState {
    /// Begins to count time and requests.
    pub fn new(identity: Identity, fault: Fault) -> Self {
        Self { identity, fault, started: Instant::now(), served: AtomicU64::new(0) }
    }

    /// What `/health` says.
    pub fn healthy(&self) -> bool {
        match self.fault {
            Fault::NeverHealthy => false,
            Fault::HealthyLate(delay) => self.started.elapsed() >= delay,
            Fault::UnhealthyAfter(delay) => self.started.elapsed() < delay,
            _ => true,
        }
    }

    /// Whether the catalogue has lost its books.
    pub fn answers_wrongly(&self) -> bool {
        self.fault == Fault::WrongAnswers
    }

    /// Counts a request of the public kind and says whether the fault makes it fail.
    pub fn fails(&self, headers: &HeaderMap) -> bool {
        let earlier = self.served.fetch_add(1, Ordering::Relaxed);
        match self.fault {
            Fault::RightOnlyDirect => headers.contains_key("x-forwarded-for"),
            Fault::HttpOnly => {
                headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https")
            }
            Fault::ErrorsAfter(delay) => self.started.elapsed() >= delay,
            Fault::ErrorsAfterRequests(limit) => earlier >= limit,
            Fault::ErrorsRatio(ratio) => falls_due(earlier, ratio),
            _ => false,
        }
    }
}

/// Spreads failures evenly: request `earlier` (from 0) fails when the whole number of failures due
/// grows with it.
#[allow(clippy::cast_precision_loss)] // exact up to 2^53 requests
fn falls_due(earlier: u64, ratio: f64) -> bool {
    let due = |requests: u64| (requests as f64 * ratio).floor();
    due(earlier + 1) > due(earlier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_failures_is_spread_evenly() {
        let failures: Vec<_> = (0..8).filter(|n| falls_due(*n, 0.25)).collect();
        assert_eq!(failures, [3, 7]);
        assert!((0..100).all(|n| falls_due(n, 1.0)));
        assert!(!(0..100).any(|n| falls_due(n, 0.0)));
    }
}
