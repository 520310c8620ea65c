//! Reconciliation: what is observed is compared with what is recorded, and mended.
//!
//! `compare` decides (pure), `reconciler` observes and acts. Everything is level-triggered: an event is
//! only a hint to look sooner.

mod compare;
mod hints;
mod leftovers;
mod reconciler;

pub use compare::{Findings, Seen, compare};
pub use leftovers::{Allowance, leftover};
pub use reconciler::Reconciler;
