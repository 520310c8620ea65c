//! Whole deployments in a simulated world with a virtual clock: faults, kills of the daemon between
//! any two acts, aborts; checked at every instant. A failing seed is printed and replays with
//! `SEED=n cargo test --test simulation`.

#![allow(missing_docs, reason = "tests")]

mod ports;
mod scenario;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that `cargo test` tries; `scripts/test` and `scripts/soak` ask for more by `SEEDS`.
const SEEDS: u64 = 500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn nothing_is_lost_whatever_dies() {
    if let Some(seed) = number("SEED") {
        return scenario::run(seed);
    }
    let first = number("FIRST_SEED").unwrap_or(0);
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario::run(seed))) {
                eprintln!("seed {seed} fails: SEED={seed} cargo test --test simulation replays it");
                std::panic::resume_unwind(panic);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    println!("{seeds} seeds, from {first}");
}
