//! Keepers over real proxies: nginx and `HAProxy` run as children on loopback ports of a temporary
//! directory, the instances are small servers in this process.

#![allow(clippy::unwrap_used, reason = "tests")]

mod backend;
mod basics;
mod client;
mod doctor;
mod edited;
mod failures;
mod logged;
mod memory;
mod public;
mod reloaded;
mod silent;
mod staged;
mod strict;
mod templates;
mod world;
