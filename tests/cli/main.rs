//! The command line against a fake daemon: every verb and every exit code, as text and as JSON.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod deploying;
mod ends;
mod examined;
mod help;
mod junit;
mod offline;
mod reading;
mod run;
mod serving;
mod signals;
mod ssh;
mod terminal;
