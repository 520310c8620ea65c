//! Any bytes as what a Docker engine answers.
#![no_main]

#[path = "../../tests/robustness/readings.rs"]
#[allow(dead_code, reason = "each target needs a part of it")]
mod readings;

libfuzzer_sys::fuzz_target!(|body: &[u8]| readings::check_docker(body));
