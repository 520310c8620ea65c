//! Any bytes as a stack file.
#![no_main]

#[path = "../../tests/robustness/invariants.rs"]
#[allow(dead_code, reason = "each target needs a part of it")]
mod invariants;

libfuzzer_sys::fuzz_target!(|text: &str| invariants::check_stack(text));
