//! Reconciliation: what is observed is compared with what is recorded, and mended.
//!
//! `compare`, `past` and `leftovers` decide (pure), `reconciler` observes and acts. Everything is level-triggered: an event is
//! only a hint to look sooner.

mod compare;
mod hints;
mod leftovers;
mod past;
mod reconciler;

pub use compare::{Findings, Seen, compare};
pub use leftovers::{Allowance, Owner, Spare, owner, spare};
pub use past::{Contradiction, contradiction};
pub use reconciler::Reconciler;
