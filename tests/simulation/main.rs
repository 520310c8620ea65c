//! Whole deployments in a simulated world with a virtual clock: faults, kills of the daemon between
//! any two acts, aborts; checked at every instant. A failing seed is printed and replays with
//! `SEED=n cargo test --test simulation`; `TELL=1` beside it tells every act.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod abreast;
mod bake;
mod clocks;
mod daemon;
mod damage;
mod draft;
mod edited;
mod election;
mod ends;
mod half;
mod kept;
mod kinds;
mod leftovers;
mod mended;
mod order;
mod refused;
mod rival;
mod same;
mod scenario;
mod shutdown;
mod sight;
mod stopped;
mod stuck;
mod told;
mod unrouted;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use world::Fault;

/// Seeds that `cargo test` tries; `scripts/test` and `scripts/soak` ask for more by `SEEDS`.
const SEEDS: u64 = 500;

/// Of so many seeds at least one draws each fault that is counted; fewer than some of that tell nothing.
const SELDOM: u64 = 100;

/// After so many failing seeds no more are tried.
const MOST_FAILURES: usize = 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn nothing_is_lost_whatever_dies() {
    if let Some(seed) = number("SEED") {
        return drop(scenario::run(seed));
    }
    let first = number("FIRST_SEED").unwrap_or(0);
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    let met = Mutex::new(BTreeMap::new());
    let work = || {
        while failed.lock().expect("no seed panics here").len() < MOST_FAILURES {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            let _watched = watch(seed);
            let Ok(played) = catch_unwind(AssertUnwindSafe(|| scenario::run(seed))) else {
                eprintln!("seed {seed} fails: SEED={seed} cargo test --test simulation replays it");
                failed.lock().expect("no seed panics here").push(seed);
                continue;
            };
            let mut met = met.lock().expect("no seed panics here");
            played.met.into_iter().for_each(|fault| *met.entry(fault).or_insert(0) += 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no seed panics here");
    assert!(failed.is_empty(), "seeds that fail: {failed:?}");
    let met = met.into_inner().expect("no seed panics here");
    println!("{seeds} seeds, from {first}, with {met:?}");
    let is_rare = |fault: &Fault| seeds >= SEEDS && met.get(fault) < Some(&(seeds / SELDOM));
    let rare: Vec<Fault> = Fault::ALL.into_iter().filter(is_rare).collect();
    assert_eq!(rare, [], "faults that hardly any seed draws");
}

#[test]
fn a_seed_replays_act_by_act() {
    let mut acts = 0;
    for seed in 0..REPLAYED {
        let [first, again] = [(), ()].map(|()| scenario::run(seed).trace);
        let differs = first.iter().zip(&again).position(|(first, again)| first != again);
        let told = differs.map(|at| (&first[at - 3..at + 4], &again[at - 3..at + 4]));
        assert_eq!(differs, None, "seed {seed}: {told:#?}");
        assert_eq!(first.len(), again.len(), "seed {seed}");
        acts += first.len();
    }
    assert!(acts > 50 * usize::try_from(REPLAYED).expect("few"), "they act");
}

/// Seeds that are run twice.
const REPLAYED: u64 = 100;

/// Real time that one seed may take: a hundred times what the slowest does. One that takes longer
/// spins without the virtual clock moving.
const ENDLESS: Duration = Duration::from_secs(60);

/// End the process, naming the seed, when it takes too long. Dropping the sender calls it off.
fn watch(seed: u64) -> mpsc::Sender<()> {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        if ended.recv_timeout(ENDLESS) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!(
                "seed {seed} does not end: SEED={seed} cargo test --test simulation replays it"
            );
            std::process::exit(1);
        }
    });
    done
}
