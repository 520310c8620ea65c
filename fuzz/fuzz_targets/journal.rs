//! Any lines as a deployment's journal.
#![no_main]

#[path = "../../tests/robustness/readings.rs"]
#[allow(dead_code, reason = "each target needs a part of it")]
mod readings;

libfuzzer_sys::fuzz_target!(|text: &str| readings::check_records(text));
