//! The load client against servers that misbehave as told.
#![allow(clippy::unwrap_used)]

mod losses;
mod program;
mod server;
