//! Any bytes as what a test container leaves.
#![no_main]

#[path = "../../tests/robustness/readings.rs"]
#[allow(dead_code, reason = "each target needs a part of it")]
mod readings;

libfuzzer_sys::fuzz_target!(|left: &[u8]| readings::check_reports(left));
