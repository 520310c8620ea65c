//! Acts that a proxy does half: some of its processes follow, some do not. It says that it failed, or
//! says nothing for a while. The next act on it makes it whole, or its keeper's next look.

use std::time::Duration;

use tokio::time::Instant;
use verdigris::deploy::ports::{PortError, PortResult, Trouble};
use verdigris::model::ServiceView;

use super::proxies::{SimProxy, Views};
use super::{Fault, Truth};

/// Of so many acts on proxies one is done half, while some are to be.
const ONE_IN: u32 = 3;

/// The longest that a proxy says nothing: its keeper's own limits are not much longer.
const SILENCE: u64 = 8_000;

/// How far the processes that follow have come: what is new is brought before the public is moved, and
/// what it has left goes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Brought,
    Moved,
    All,
}

impl SimProxy {
    /// Do `act` in some processes only. The keeper holds what was before, since it has put back what it
    /// could; but after a flip that was made, not proved, and not wholly taken back, what is new.
    fn change_half(
        &mut self,
        reached: Reached,
        keeps_new: bool,
        act: impl FnOnce(&mut Views) -> PortResult<()>,
    ) -> PortResult<()> {
        let before = self.held().clone();
        if keeps_new {
            self.change(act)?;
            self.stray = Some(before);
            return Ok(());
        }
        let mut after = before.clone();
        act(&mut after)?;
        self.agree();
        self.stray = Some(part(&before, &after, reached));
        Ok(())
    }
}

fn part(before: &Views, after: &Views, reached: Reached) -> Views {
    let services = before.keys().chain(after.keys());
    let views = services.filter_map(|service| {
        let view = part_of(before.get(service), after.get(service), reached)?;
        Some((service.clone(), view))
    });
    views.collect()
}

fn part_of(
    before: Option<&ServiceView>,
    after: Option<&ServiceView>,
    reached: Reached,
) -> Option<ServiceView> {
    let nobody = |view: &ServiceView| ServiceView { live: None, ..view.clone() };
    let (had, gets) = match (before, after) {
        (Some(had), Some(gets)) => (had.clone(), gets.clone()),
        (Some(had), None) => (had.clone(), nobody(had)),
        (None, Some(gets)) => (nobody(gets), gets.clone()),
        (None, None) => return None,
    };
    match reached {
        Reached::Brought => Some(with_instances(had, &gets)),
        Reached::Moved => Some(with_instances(gets, &had)),
        Reached::All => after.cloned(),
    }
}

/// `view` with the instances of `other`, too.
fn with_instances(mut view: ServiceView, other: &ServiceView) -> ServiceView {
    for (colour, backends) in &other.backends {
        let all = view.backends.entry(*colour).or_default();
        let more = backends.iter().filter(|backend| !all.contains(backend)).cloned();
        let more: Vec<_> = more.collect();
        all.extend(more);
    }
    view
}

impl Truth {
    /// Whether the next act on a proxy is done half.
    pub fn halves(&mut self) -> bool {
        let halves = self.halves > 0 && self.rng.u32(0..ONE_IN) == 0;
        if halves {
            self.halves -= 1;
        }
        halves
    }

    /// Do `act` half on the proxy `name`; the error is what it says of it, once it is not `silent` any more.
    pub fn act_half(
        &mut self,
        what: &str,
        name: &str,
        silent: &mut Option<Instant>,
        act: impl FnOnce(&mut Views) -> PortResult<()>,
    ) -> PortResult<()> {
        let reached = [Reached::Brought, Reached::Moved, Reached::All];
        let reached = self.rng.choice(reached).expect("three");
        let keeps_new = what == "flip" && self.rng.bool();
        let proxy = self.proxies.get_mut(name).expect("it is there");
        proxy.change_half(reached, keeps_new, act)?;
        self.met.insert(Fault::Half);
        self.faults.trouble();
        if self.rng.bool() {
            let until = Instant::now() + Duration::from_millis(self.rng.u64(1..SILENCE));
            self.faults.trouble_until(until);
            *silent = Some(until);
            return Err(PortError::new(Trouble::Unreachable, what));
        }
        Err(PortError::new(Trouble::Other, what).because("not proved"))
    }
}
