//! The sample service and its tests, as the processes that run in containers.
#![allow(clippy::unwrap_used)]

mod faults;
mod gates;
mod process;
mod serving;
