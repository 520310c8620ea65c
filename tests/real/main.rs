//! Tests on real parts: they need a testbed (`scripts/testbed up`) and its environment
//! (`set -a; eval "$(scripts/testbed env)"; VERDIGRIS_TESTBED=1`), and say so when they have none.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod gate;
mod swarm;
mod testbed;
