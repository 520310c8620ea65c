//! One act on the world, and what may go wrong with it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use verdigris::deploy::ports::{PortError, PortResult, Trouble};

use super::{Daemon, Losses, Sim, Truth};

/// A part of the world that can be away, or answer emptily, by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Registry,
    Swarm,
    Journal,
    Other,
}

fn part_of(what: &str) -> Part {
    match what {
        what if what.contains("registry") || what.contains("lease") => Part::Registry,
        "resolve" | "preflight" | "snapshot" | "start" | "restore" | "scale" | "tasks"
        | "services" | "list all tasks" => Part::Swarm,
        "append" | "accept" => Part::Journal,
        _ => Part::Other,
    }
}

/// Acts that a daemon which is stopped in their midst may not have done yet.
const STOPPABLE: [&str; 4] = ["append", "write the registry", "read the registry", "run a gate"];

/// Refusals that are remembered: more than any deployment meets before it says that it is stuck.
const REMEMBERED: usize = 400;

/// What goes wrong with acts, whichever they are.
#[derive(Debug, Default)]
pub struct Faults {
    /// Acts so far, and the acts at which the daemon is killed.
    pub acts: u64,
    pub kills: Vec<u64>,
    /// Acts that still fail, and how many in a hundred do.
    pub left: u32,
    pub rate: u32,
    /// Who answers nothing until when.
    pub away: BTreeMap<Part, Instant>,
    /// Acts that take so long.
    pub slow: BTreeMap<&'static str, Duration>,
    /// Who answers, and says that there is nothing, until when.
    pub empty: BTreeMap<Part, Instant>,
    /// The daemon under test is stopped for a while, as by SIGSTOP.
    pub pause: Option<(Instant, Instant)>,
    /// The registry hid what it holds, or lost what it was told.
    pub registry_lied: bool,
    /// When something last went wrong: only since then can all be expected to be noticed.
    troubled: Option<Instant>,
    /// When which acts answered an error, of late, and whether trying again might have helped.
    refusals: VecDeque<(Instant, String, bool)>,
}

impl Faults {
    fn end(&mut self) {
        self.left = 0;
        self.kills.clear();
        self.away.clear();
        self.slow.clear();
        self.empty.clear();
    }

    /// Something goes wrong at this instant.
    pub fn trouble(&mut self) {
        self.trouble_until(Instant::now());
    }

    /// Something goes wrong until then.
    pub fn trouble_until(&mut self, until: Instant) {
        self.troubled = self.troubled.max(Some(until));
    }

    /// For how long nothing has gone wrong.
    pub fn calm(&self) -> Duration {
        self.troubled.map_or(Duration::MAX, |last| last.elapsed())
    }

    /// The refusals of `acts` since `since`: when, and whether trying again might have helped.
    pub fn refused(&self, acts: &[&str], since: Instant) -> Vec<(Instant, bool)> {
        let of_late = self
            .refusals
            .iter()
            .filter(|(at, what, _)| *at >= since && acts.contains(&what.as_str()));
        of_late.map(|(at, _, passing)| (*at, *passing)).collect()
    }

    pub(super) fn refuse(&mut self, what: &str, trouble: Trouble) {
        let passing = !matches!(trouble, Trouble::Denied | Trouble::Invalid);
        self.refusals.push_back((Instant::now(), what.to_owned(), passing));
        if self.refusals.len() > REMEMBERED {
            self.refusals.pop_front();
        }
        self.trouble();
    }

    fn is_away(&self, what: &str) -> bool {
        self.away.get(&part_of(what)).is_some_and(|until| Instant::now() < *until)
    }
}

impl Truth {
    /// Nothing goes wrong any more.
    pub fn end_faults(&mut self) {
        self.faults.end();
        self.stubborn.clear();
        self.halves = 0;
        self.losses = Losses::default();
        self.servers.end_election();
    }

    /// Whether `part` says at the moment that there is nothing.
    pub fn says_nothing(&mut self, part: Part) -> bool {
        let says = self.faults.empty.get(&part).is_some_and(|until| Instant::now() < *until);
        if says {
            self.faults.registry_lied |= part == Part::Registry;
            self.faults.trouble();
        }
        says
    }

    fn fails(&mut self) -> bool {
        let fails = self.faults.left > 0 && self.rng.u32(0..100) < self.faults.rate;
        if fails {
            self.faults.left -= 1;
        }
        fails
    }
}

impl Sim {
    /// One act on the world: takes a while, may fail before or after its effect, may be the last
    /// thing that the daemon does.
    pub async fn act<T>(
        &self,
        what: &str,
        effect: impl FnOnce(&mut Truth) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        self.act_as(what, true, effect).await
    }

    /// An act that is done when it does not fail, and not done when it does: a transaction.
    pub async fn act_whole<T>(
        &self,
        what: &str,
        effect: impl FnOnce(&mut Truth) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        self.act_as(what, false, effect).await
    }

    async fn act_as<T>(
        &self,
        what: &str,
        may_half_fail: bool,
        effect: impl FnOnce(&mut Truth) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        self.wait_out_the_pause().await;
        let result = self.act_sent(what, may_half_fail, effect).await;
        self.wait_out_the_pause().await;
        result
    }

    /// An act that was sent before the daemon was stopped, if it was.
    pub(super) async fn act_sent<T>(
        &self,
        what: &str,
        may_half_fail: bool,
        effect: impl FnOnce(&mut Truth) -> PortResult<T> + Send,
    ) -> PortResult<T> {
        let micros = self.truth().rng.u64(0..3000);
        let slow = self.truth().faults.slow.get(what).copied().unwrap_or_default();
        tokio::time::sleep(Duration::from_micros(micros).saturating_add(slow)).await;
        if STOPPABLE.contains(&what) && self.truth().rng.bool() {
            self.wait_out_the_pause().await;
        }
        if let Some(result) = self.strike(what, may_half_fail, effect) {
            return result;
        }
        // The daemon is dead: nothing goes on.
        std::future::pending().await
    }

    /// A daemon that is stopped begins nothing, and takes in no answer, until it is woken. What it has begun
    /// at a proxy or the Swarm it has sent.
    pub(super) async fn wait_out_the_pause(&self) {
        if self.daemon == Daemon::Rival {
            return;
        }
        let until = self.truth().faults.pause.map(|(_, until)| until);
        if let Some(until) = until.filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until).await;
            self.truth().faults.trouble();
        }
    }

    /// None: the daemon is dead.
    fn strike<T>(
        &self,
        what: &str,
        may_half_fail: bool,
        effect: impl FnOnce(&mut Truth) -> PortResult<T>,
    ) -> Option<PortResult<T>> {
        let mut truth = self.truth();
        if self.daemon == Daemon::Rival {
            let result = effect(&mut truth);
            truth.look(what);
            return Some(result);
        }
        if truth.life != self.life {
            return None;
        }
        truth.faults.acts += 1;
        let unreachable = || PortError::new(Trouble::Unreachable, what);
        if truth.faults.is_away(what) {
            truth.faults.refuse(what, Trouble::Unreachable);
            return Some(Err(unreachable()));
        }
        let dies = truth.faults.kills.contains(&truth.faults.acts);
        if dies && truth.rng.bool() {
            self.kill(&mut truth);
            return None;
        }
        let fails = truth.fails() || truth.lacks_leader(part_of(what));
        if fails && (!may_half_fail || truth.rng.bool()) {
            truth.faults.refuse(what, Trouble::Unreachable);
            return Some(Err(unreachable()));
        }
        let result = effect(&mut truth);
        truth.look(what);
        if dies {
            self.kill(&mut truth);
            return None;
        }
        let result = if fails { Err(unreachable()) } else { result };
        if let Err(error) = &result {
            truth.faults.refuse(what, error.trouble);
        }
        Some(result)
    }

    /// The daemon's process is gone, if it was not before.
    pub fn end(&self) {
        let mut truth = self.truth();
        if truth.life == self.life {
            self.kill(&mut truth);
        }
    }

    fn kill(&self, truth: &mut Truth) {
        truth.life += 1;
        truth.faults.trouble();
        truth.begin_tries(Daemon::Ours);
        truth.leases.forget(Daemon::Ours);
        truth.gates.clear();
        // Test containers die with nobody to remove them; they stay until they are cleaned.
        self.killed.send_replace(truth.life);
    }
}
