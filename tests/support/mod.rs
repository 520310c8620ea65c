//! A daemon without a Swarm: the real API and listeners over an in-memory `Control`.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod daemon;
pub mod fake;
pub mod samples;
