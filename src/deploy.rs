//! The core: a deployment as a saga.
//!
//! `saga` decides (pure), `action` does and undoes one step, `engine` runs the loop between the two
//! and keeps the journal. `ports` are the seams to everything outside.

pub mod control;
pub mod ports;
pub mod record;
