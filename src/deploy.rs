//! The core: a deployment as a saga.
//!
//! `saga` decides (pure), `action` does and undoes one step, `runner` goes to and fro between the two
//! and keeps the journal, `engine` owns all runners. `ports` are the seams to everything outside.

pub mod action;
pub mod control;
pub mod engine;
pub mod failpoint;
pub mod feed;
#[cfg(test)]
pub(crate) mod fixture;
pub mod health;
pub mod history;
pub mod ledger;
pub mod mailbox;
pub mod outlets;
pub mod plan;
pub mod ports;
pub mod record;
pub mod runner;
pub mod saga;
pub mod standing;
pub mod stopwatch;
pub mod summary;
pub mod view;
