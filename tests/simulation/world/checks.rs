//! What must hold at every instant, whatever happens.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use verdigris::deploy::record::Record;
use verdigris::model::{Colour, DeploymentId, OnBusy, Request, ServiceName, Step};

use super::flights::DRAIN;
use super::{Daemon, Truth};

/// A deployment that has not ended.
#[derive(Debug, Clone)]
pub struct Open {
    pub service: ServiceName,
    sequence: Option<u64>,
    /// It has begun to act.
    pub acts: bool,
    committed: bool,
    /// Since when it tries what it is at.
    tries: Instant,
    /// Since when it says that it is stuck, and with what.
    stuck: Option<(Instant, Step)>,
}

impl Open {
    fn of(request: &Request) -> Self {
        Self {
            service: request.service().clone(),
            sequence: request.sequence,
            acts: false,
            committed: false,
            tries: Instant::now(),
            stuck: None,
        }
    }
}

/// So much of a record is told.
const TOLD: usize = 120;

/// A deployment is stuck because an act was refused just now, not for a reason of long ago.
const JUST_NOW: Duration = Duration::from_secs(2);

/// What it could not do was tried ten times, over nine seconds.
const TRIES: usize = 10;
const TRIED_FOR: Duration = Duration::from_secs(9);

/// The acts without which `step` is not undone, or done after the commit.
fn needed(step: Step) -> &'static [&'static str] {
    match step {
        Step::Start => &["take the lease", "snapshot the proxies", "restore a proxy", "restore"],
        Step::Stage => &["take the lease", "snapshot the proxies", "restore a proxy"],
        Step::Register | Step::Commit => {
            &["take the lease", "read the registry", "write the registry"]
        }
        Step::PreDeployment | Step::PreIntegration | Step::PostIntegration => &["clean gates"],
        Step::Drain => &[
            "take the lease",
            "snapshot the proxies",
            "read the registry",
            "restore a proxy",
            "drain",
        ],
        Step::Switch => &[
            "take the lease",
            "read the registry",
            "write the registry",
            "snapshot the proxies",
            "restore a proxy",
        ],
        Step::Retire => &[
            "take the lease",
            "snapshot the proxies",
            "read the registry",
            "write the registry",
            "restore a proxy",
            "drain",
            "retire",
            "restore",
            "scale",
        ],
        Step::Prepare | Step::Await | Step::Approve | Step::Bake => &[],
    }
}

/// A stuck deployment tries again every ten seconds, and nine times within as many; a try waits for the
/// requests on the new colour, once more when the daemon dies meanwhile.
const LEAVES_BY_ITSELF: Duration = Duration::from_secs(25 + DRAIN.as_secs());

/// Acts that change nothing: a request meets what it met before, but for what time alone changes.
const READS: [&str; 15] = [
    "ask for what is idle",
    "count answers",
    "drain",
    "list all tasks",
    "list test containers",
    "preflight",
    "read all of the registry",
    "read the registry",
    "resolve",
    "see which leases are left",
    "see who has the lease",
    "services",
    "snapshot",
    "snapshot the proxies",
    "tasks",
];

/// What time alone changes is looked at this often, if nothing else happens.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// So many violations of a seed are kept: the first tell what is wrong.
const MOST_VIOLATIONS: usize = 6;

impl Truth {
    /// Something does not hold.
    pub fn violate(&mut self, what: String) {
        if self.violations.len() < MOST_VIOLATIONS {
            self.violations.push(what);
        }
    }

    /// Look at everything, after `what` happened.
    pub fn look(&mut self, what: &str) {
        if self.told {
            println!("{:>10.3?} {what}", self.start.0.elapsed());
        }
        self.trace.push((self.start.0.elapsed(), what.to_owned()));
        if READS.contains(&what) && self.looked.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked = Instant::now();
        self.request_everything(what);
        self.look_at_flights(what);
        self.look_at_the_stuck();
        if ["flip", "restore a proxy"].contains(&what) {
            self.look_at_the_committed(what);
        } else if what == "a proxy's restart" {
            // That moved it, and no daemon did.
            self.led = self.led_now();
        }
    }

    /// A commit is never undone: while no deployment acts, nobody moves the public away from it.
    fn look_at_the_committed(&mut self, what: &str) {
        let mut undone = Vec::new();
        let now = self.led_now();
        let before = std::mem::replace(&mut self.led, now);
        for (service, committed) in &self.committed {
            if self.open.values().any(|open| open.acts && open.service == *service) {
                continue;
            }
            for (name, proxy) in &self.proxies {
                let led = proxy.held().get(service).and_then(|view| view.live);
                let was = before.get(&(name.clone(), service.clone()));
                let moved = was == Some(&committed.colour) && led != Some(committed.colour);
                if moved && !proxy.is_astray() {
                    undone.push(format!("after `{what}`: {name} leads {service} to {led:?}"));
                }
            }
        }
        undone.into_iter().for_each(|wrong| self.violate(wrong));
    }

    fn led_now(&self) -> BTreeMap<(String, ServiceName), Colour> {
        let held = self.proxies.iter().flat_map(|(name, proxy)| {
            proxy.held().iter().map(move |(service, view)| (name, service, view.live))
        });
        held.filter_map(|(name, service, live)| Some(((name.clone(), service.clone()), live?)))
            .collect()
    }

    /// Look at a record that `daemon` is about to journal.
    pub fn examine(&mut self, daemon: Daemon, id: DeploymentId, record: &Record) {
        if self.told {
            let record: String = format!("{record:?}").chars().take(TOLD).collect();
            println!("           {id}: {record}");
        }
        if let Record::Opened { request } = record {
            self.examine_opening(daemon, request);
            self.open.insert((daemon, id), Open::of(request));
            return;
        }
        let Some(mut open) = self.open.get(&(daemon, id)).cloned() else {
            let end = format!("{} journals after the end of {id}: {record:?}", daemon.name());
            return self.violate(end);
        };
        self.examine_tenure(daemon, id, &open.service, record);
        let undone_or_over = matches!(record, Record::Undoing { .. } | Record::Ended { .. });
        if undone_or_over && self.gates.get(&id).is_some_and(|running| *running > 0) {
            self.violate(format!("a gate of {id} is at work yet: {record:?}"));
        }
        match record {
            Record::Began { .. } => {
                open.acts = true;
                self.examine_beginning(daemon, id, &open);
            }
            Record::Done { step: Step::Commit, .. } => {
                open.committed = true;
                if self.aborted.get(&id) == Some(&self.life) {
                    self.violate(format!("{id} commits though it was agreed to abort it"));
                }
            }
            Record::Undoing { .. } | Record::Undone { .. } if open.committed => {
                self.violate(format!("a commit is undone: {record:?}"));
            }
            Record::Stuck { problem } if !self.may_be_stuck(&open, problem.step) => {
                self.violate(format!("stuck though it was not tried for long: {problem:?}"));
            }
            _ => {}
        }
        let now = Instant::now();
        open.tries = now;
        open.stuck = match record {
            Record::Stuck { problem } => Some((now, problem.step)),
            _ => None,
        };
        if matches!(record, Record::Ended { .. }) {
            self.open.remove(&(daemon, id));
        } else {
            self.open.insert((daemon, id), open);
        }
    }

    /// Whether what `step` needs was refused for as long as it is tried, or once and for all. After the
    /// commit everything is tried again.
    fn may_be_stuck(&self, open: &Open, step: Step) -> bool {
        let refused = self.faults.refused(needed(step), open.tries);
        let mut just_now = refused.iter().filter(|(at, _)| at.elapsed() <= JUST_NOW).peekable();
        let for_long = refused.len() >= TRIES && open.tries.elapsed() >= TRIED_FOR;
        let is_for_long = for_long && just_now.peek().is_some();
        // Of several proxies one may have refused for good, and another one in passing after it.
        is_for_long || (!open.committed && just_now.any(|(_, passing)| !passing))
    }

    /// A new life of `daemon` begins to try.
    pub fn begin_tries(&mut self, daemon: Daemon) {
        let ours = self.open.iter_mut().filter(|((by, _), _)| *by == daemon);
        ours.for_each(|(_, open)| open.tries = Instant::now());
    }

    fn others<'a>(
        &'a self,
        daemon: Daemon,
        service: &'a ServiceName,
    ) -> impl Iterator<Item = (DeploymentId, &'a Open)> {
        let of_service = self
            .open
            .iter()
            .filter(move |((by, _), open)| *by == daemon && open.service == *service);
        of_service.map(|((_, id), open)| (*id, open))
    }

    /// Whoever does not want to wait, or is older than what was taken, is not taken.
    fn examine_opening(&mut self, daemon: Daemon, request: &Request) {
        let mut wrong = Vec::new();
        for (id, other) in self.others(daemon, request.service()) {
            let newer = other.sequence.is_some() && request.sequence > other.sequence;
            let older = request.sequence.is_some() && request.sequence < other.sequence;
            if older || (request.on_busy == OnBusy::Refuse && !newer) {
                wrong.push(format!("{request:?} was taken beside {id}"));
            }
        }
        wrong.into_iter().for_each(|wrong| self.violate(wrong));
    }

    /// At most one deployment of a service acts.
    fn examine_beginning(&mut self, daemon: Daemon, id: DeploymentId, open: &Open) {
        let acts =
            self.others(daemon, &open.service).filter(|(other, open)| *other != id && open.acts);
        let acts: Vec<String> =
            acts.map(|(other, _)| format!("{id} acts while {other} does")).collect();
        acts.into_iter().for_each(|wrong| self.violate(wrong));
    }

    /// Stuck is left by itself once what it needs is not refused any more.
    fn look_at_the_stuck(&mut self) {
        let Some(since) = Instant::now().checked_sub(LEAVES_BY_ITSELF) else { return };
        let still = |open: &Open| {
            open.stuck.is_some_and(|(stuck, step)| {
                stuck < since && self.faults.refused(needed(step), since).is_empty()
            })
        };
        let stuck = self.open.iter().filter(|(_, open)| still(open));
        let stuck: Vec<String> =
            stuck.map(|((_, id), _)| format!("{id} is stuck though nothing is refused")).collect();
        stuck.into_iter().for_each(|wrong| self.violate(wrong));
    }
}
