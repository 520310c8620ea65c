//! Tests on real parts: they need a testbed (`scripts/testbed up`) and its environment
//! (`set -a; eval "$(scripts/testbed env)"; VERDIGRIS_TESTBED=1`), and say so when they have none.

mod swarm;
mod testbed;
