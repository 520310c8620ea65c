//! Observes Swarm, registry and proxies, and mends what differs: at start, when something hints at a
//! change, and every now and then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::compare::{Findings, Seen, compare};
use super::hints;
use super::leftovers::{Allowance, leftover};
use crate::deploy::engine::Engine;
use crate::deploy::health::serving;
use crate::deploy::history::{self, Committed};
use crate::deploy::ledger::{self, Ledger};
use crate::deploy::ports::{PortResult, ProxyViews, SwarmSnapshot, Trouble, World};
use crate::deploy::record::{Journalled, Record};
use crate::deploy::saga::State;
use crate::deploy::stopwatch::Stopwatch;
use crate::model::{
    Backend, Colour, DeploymentId, Registration, ReleaseId, ServiceName, ServiceRecord,
    ServiceView, Standing,
};

/// Everything is looked at this often, hints or not.
const SWEEP: Duration = Duration::from_secs(10);

/// After a hint, and while instances that are wanted do not run yet, it is looked again after so long,
/// then after twice that, and so on: what Swarm says follows the engine's hint by a while, and of other
/// nodes' containers there is no hint at all.
const SOON: Duration = Duration::from_millis(50);

/// Swarm has said by then what the engine hinted at: measured 0.1 to 0.7 s.
const LAG: Duration = Duration::from_secs(2);

/// Hints are gathered for this long at least, so that a burst is one look …
const QUIET: Duration = Duration::from_millis(20);

/// … and this long at most, so that a stream of hints cannot put it off.
const PUT_OFF: Duration = Duration::from_millis(200);

/// Services looked at side by side.
const ABREAST: usize = 8;

/// What was found is shown for the last so many findings of a service.
const DRIFT_KEPT: usize = 20;

/// The services of the Swarm by owner and colour.
type Services = BTreeMap<ServiceName, BTreeMap<Colour, SwarmSnapshot>>;

/// Keeps registry and proxies true to the Swarm.
pub struct Reconciler {
    world: World,
    ledger: Arc<Ledger>,
    engine: Engine,
    drift: Mutex<BTreeMap<ServiceName, VecDeque<String>>>,
    problem: Mutex<Option<String>>,
    /// How long ago deployments retired what they keep.
    ages: Mutex<BTreeMap<DeploymentId, Stopwatch>>,
    /// Colours that nobody seemed to own in the last look.
    suspects: Mutex<BTreeMap<ServiceName, SwarmSnapshot>>,
    allowance: Mutex<Allowance>,
    /// When test containers and leases that are left were last looked for.
    cleaned: Mutex<Option<Instant>>,
}

impl Reconciler {
    /// A reconciler beside `engine`, whose deployments have the last word on their colours.
    #[must_use]
    pub fn new(world: World, ledger: Arc<Ledger>, engine: Engine) -> Self {
        Self {
            world,
            ledger,
            engine,
            drift: Mutex::default(),
            problem: Mutex::default(),
            ages: Mutex::default(),
            suspects: Mutex::default(),
            allowance: Mutex::default(),
            cleaned: Mutex::default(),
        }
    }

    /// What was found different, and mended, of `service`; newest last.
    #[must_use]
    pub fn drift(&self, service: &ServiceName) -> Vec<String> {
        lock(&self.drift)
            .get(service)
            .map(|lines| lines.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Why the last sweep could not see everything.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        lock(&self.problem).clone()
    }

    /// Reconcile until `shutdown`; `ready` turns true after the first sweep.
    pub async fn run(&self, ready: watch::Sender<bool>, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = self.sweep() => {}
        }
        ready.send_replace(true);
        while !shutdown.is_cancelled() {
            let hints = hints::subscribe(&self.world, SWEEP).await;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.follow(hints) => {}
            }
        }
    }

    /// Sweep now, on hints, and every now and then, until the hints end.
    async fn follow(&self, mut hints: BoxStream<'static, ()>) {
        let mut soon = SOON;
        loop {
            let whole = self.sweep().await;
            let last = Instant::now();
            let pause = if whole && soon > LAG { SWEEP } else { soon };
            tokio::select! {
                hint = hints.next() => if hint.is_none() {
                    // The engine went away; it is asked again after a while.
                    tokio::time::sleep(PUT_OFF).await;
                    return;
                },
                () = tokio::time::sleep_until(last + pause) => {
                    soon = (soon * 2).min(SWEEP);
                    continue;
                }
            }
            soon = SOON;
            gather(&mut hints).await;
        }
    }

    /// Look at everything once. False: instances that are wanted do not run yet.
    pub async fn sweep(&self) -> bool {
        let result = self.try_sweep().await;
        if let Err(error) = &result {
            tracing::warn!(error = error.chain(), "cannot look at everything");
        }
        let whole = *result.as_ref().unwrap_or(&true);
        *lock(&self.problem) = result.err().map(|error| error.chain());
        whole
    }

    async fn try_sweep(&self) -> PortResult<bool> {
        let (services, records) = futures_util::future::try_join(
            self.world.swarm.services(),
            self.world.registry.read_all(),
        )
        .await?;
        let mut by_owner = Services::new();
        for (service, colour, snapshot) in services {
            by_owner.entry(service).or_default().insert(colour, snapshot);
        }
        let names: BTreeSet<ServiceName> = by_owner.keys().chain(records.keys()).cloned().collect();
        // What goes wrong with one service must not keep the others from being mended.
        let mended = stream::iter(names).map(|service| {
            let colours = by_owner.get(&service).cloned().unwrap_or_default();
            async move { self.mend(&service, &colours).await }
        });
        let results: Vec<PortResult<bool>> = mended.buffer_unordered(ABREAST).collect().await;
        self.clean_up().await;
        results.into_iter().try_fold(true, |all, whole| Ok(all & whole?))
    }

    /// Look at one service and mend it. False: instances that are wanted do not run yet.
    async fn mend(
        &self,
        service: &ServiceName,
        colours: &BTreeMap<Colour, SwarmSnapshot>,
    ) -> PortResult<bool> {
        let turn = self.ledger.turn(service);
        let _turn = turn.lock().await;
        let mut record = match self.world.registry.read(service).await {
            // Somebody wrote what cannot be read: it is made anew from what is known and observed.
            Err(error) if error.trouble == Trouble::Invalid => {
                self.note(service, &[error.chain()]);
                ServiceRecord::default()
            }
            read => read?,
        };
        let forgotten = record.colour.is_none() || record.route.is_none();
        if forgotten && !self.is_busy(service) {
            self.remember(service, &mut record).await?;
        }
        let seen = self.see(colours).await?;
        let findings = compare(&record, &seen, &self.owned(service, &record));
        if findings != Findings::default() && self.is_anothers(service).await? {
            return Ok(true);
        }
        self.note(service, &findings.drift);
        if let Some(mended) = findings.record {
            self.world.registry.write(service, &mended).await?;
            record = mended;
        }
        for colour in findings.refresh {
            let backends = ledger::backends(record.of(colour).map(|entry| &entry.instance));
            self.world.proxies.refresh(service, colour, &backends).await?;
        }
        // No deployment begins meanwhile; one that is under way has the last word.
        if let Some(_turn) = self.engine.idle_turn(service) {
            self.lead(service, &record).await?;
            self.expire(service, &record, colours).await?;
            self.tidy(service, &record, colours).await?;
        }
        Ok(colours.iter().all(|(colour, wanted)| is_whole(wanted, &seen, *colour)))
    }

    /// Another daemon deploys the service: nothing of it is mended here.
    async fn is_anothers(&self, service: &ServiceName) -> PortResult<bool> {
        let rival = self.world.leases.rival(service).await?;
        if let Some(rival) = &rival {
            tracing::debug!(%service, rival, "left to the daemon that deploys it");
        }
        Ok(rival.is_some())
    }

    fn is_busy(&self, service: &ServiceName) -> bool {
        self.engine.under_way(service).is_some()
    }

    /// The colours that a deployment under way is busy with: the one that does not get the traffic.
    fn owned(&self, service: &ServiceName, record: &ServiceRecord) -> BTreeSet<Colour> {
        if !self.is_busy(service) {
            return BTreeSet::new();
        }
        let public = record.route.as_ref().and_then(crate::model::Route::live).or(record.colour);
        Colour::BOTH.into_iter().filter(|colour| Some(*colour) != public).collect()
    }

    /// The registry forgot the service: what the journal committed last is put on record again.
    async fn remember(&self, service: &ServiceName, record: &mut ServiceRecord) -> PortResult<()> {
        let past = history::committed(&*self.world.journal, service, 1).await?;
        let Some(Committed { prepared, .. }) = past.first() else { return Ok(()) };
        // Another colour on record is somebody else's work, of which this journal knows nothing.
        if record.colour.is_some_and(|colour| colour != prepared.colour) {
            return Ok(());
        }
        if self.is_anothers(service).await? {
            return Ok(());
        }
        ledger::switch(record, prepared);
        ledger::commit(record, prepared);
        self.note(service, &["the registry had forgotten the service".to_owned()]);
        self.world.registry.write(service, record).await
    }

    async fn see(&self, colours: &BTreeMap<Colour, SwarmSnapshot>) -> PortResult<Seen> {
        let mut seen = Seen::default();
        for (colour, snapshot) in colours {
            let Some(port) = snapshot.port() else { continue };
            let tasks = match self.world.swarm.tasks(&snapshot.name, port).await {
                // It was removed since it was listed.
                Err(error) if error.trouble == Trouble::NotFound => continue,
                tasks => tasks?,
            };
            let entry = |instance| Registration {
                instance,
                colour: *colour,
                standing: Standing::Idle,
                release: ReleaseId::from(snapshot.release().unwrap_or_default().to_owned()),
                image: snapshot.image().unwrap_or_default().to_owned(),
            };
            let entries = tasks.iter().filter_map(serving).map(entry).collect();
            seen.colours.insert(*colour, entries);
        }
        Ok(seen)
    }

    /// The proxies lead where the route says.
    async fn lead(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<()> {
        let Some(wanted) = wanted_view(service, record) else { return Ok(()) };
        let Some(live) = wanted.live.filter(|live| !wanted.of(*live).is_empty()) else {
            return Ok(());
        };
        let views = self.world.proxies.snapshot(service).await?;
        let astray = |view: &Option<ServiceView>| {
            view.as_ref().is_none_or(|view| {
                view.live != wanted.live
                    || view.rule != wanted.rule
                    || view.generation != wanted.generation
            })
        };
        // They may have missed a change that the registry has: its hint is not given twice.
        let behind = |view: &ServiceView| sorted(view.of(live)) != sorted(wanted.of(live));
        let (late, lost) = (views.values().flatten().any(behind), views.values().any(astray));
        if (late || lost) && self.is_anothers(service).await? {
            return Ok(());
        }
        if late {
            self.note(service, &[format!("proxies did not know the instances of {live}")]);
            self.world.proxies.refresh(service, live, wanted.of(live)).await?;
        }
        let wrong: ProxyViews = views
            .into_iter()
            .filter(|(_, view)| astray(view))
            .map(|(proxy, _)| (proxy, Some(wanted.clone())))
            .collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let proxies: Vec<&str> = wrong.keys().map(String::as_str).collect();
        self.note(service, &[format!("{} did not follow the route", proxies.join(", "))]);
        self.world.proxies.restore(service, &wrong).await
    }

    /// What is kept of the old colour goes when its time is over.
    async fn expire(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        colours: &BTreeMap<Colour, SwarmSnapshot>,
    ) -> PortResult<()> {
        let Some(idle) = record.colour.map(Colour::other) else { return Ok(()) };
        let Some(snapshot) = colours.get(&idle) else { return Ok(()) };
        let past = history::committed(&*self.world.journal, service, 1).await?;
        let over = past.first().is_some_and(|last| self.is_over(last));
        if !over || self.is_anothers(service).await? {
            return Ok(());
        }
        self.remove(service, record, idle, &snapshot.name).await?;
        self.note(service, &[format!("{idle} was kept long enough and is removed")]);
        Ok(())
    }

    /// Out of the registry and the proxies first: nobody is sent to an instance that is being stopped.
    async fn remove(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        idle: Colour,
        name: &str,
    ) -> PortResult<()> {
        let mut without = record.clone();
        ledger::retire(&mut without, idle);
        self.world.registry.write(service, &without).await?;
        self.world.proxies.retire(service, idle).await?;
        self.world.swarm.restore(name, None).await
    }

    /// A colour that no deployment owns any more goes, when it is so in two looks in a row.
    async fn tidy(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        colours: &BTreeMap<Colour, SwarmSnapshot>,
    ) -> PortResult<()> {
        // Most services have one colour only.
        let found = match colours.len() {
            0 | 1 => None,
            _ => self.find_leftover(service, record, colours).await?,
        };
        let Some(snapshot) = found.and_then(|colour| Some((colour, colours.get(&colour)?))) else {
            lock(&self.suspects).remove(service);
            return Ok(());
        };
        let (colour, snapshot) = snapshot;
        let suspected = lock(&self.suspects).insert(service.clone(), snapshot.clone());
        let again = suspected.as_ref() == Some(snapshot);
        let now = self.world.swarm.snapshot(&snapshot.name).await?;
        if !again || now.as_ref() != Some(snapshot) || self.is_anothers(service).await? {
            return Ok(());
        }
        if let Err(limit) = lock(&self.allowance).take(Instant::now()) {
            let name = &snapshot.name;
            self.note(service, &[format!("`{name}` belongs to no deployment, and stays: {limit}")]);
            return Ok(());
        }
        self.remove(service, record, colour, &snapshot.name).await?;
        lock(&self.suspects).remove(service);
        let name = &snapshot.name;
        self.note(service, &[format!("`{name}` belonged to no deployment and is removed")]);
        Ok(())
    }

    async fn find_leftover(
        &self,
        service: &ServiceName,
        record: &ServiceRecord,
        colours: &BTreeMap<Colour, SwarmSnapshot>,
    ) -> PortResult<Option<Colour>> {
        let past = history::committed(&*self.world.journal, service, 1).await?;
        let views = self.world.proxies.snapshot(service).await?;
        let led = views.values().flatten().filter_map(|view| view.live).collect();
        Ok(leftover(record, &led, past.first().map(|last| &last.prepared), colours))
    }

    /// Now and then, what was left behind and belongs to no colour: test containers, leases. The CI engine
    /// may be away without harm.
    async fn clean_up(&self) {
        let due = {
            let mut cleaned = lock(&self.cleaned);
            let due = cleaned.is_none_or(|last| last.elapsed() >= SWEEP);
            if due {
                *cleaned = Some(Instant::now());
            }
            due
        };
        if !due {
            return;
        }
        if let Err(error) = self.clean_gates().await {
            tracing::debug!(error = error.chain(), "cannot look for test containers");
        }
        if let Err(error) = self.give_back_leases().await {
            tracing::debug!(error = error.chain(), "cannot look for leases that are left");
        }
    }

    /// Leases that an earlier life of this daemon took, and could not give back, go back now.
    async fn give_back_leases(&self) -> PortResult<()> {
        for service in self.world.leases.left().await? {
            // Whoever has the turn takes the lease for itself, and gives it back in the end.
            let Some(_turn) = self.engine.idle_turn(&service) else { continue };
            self.world.leases.take(&service).await?;
            self.world.leases.leave(&service, false).await;
        }
        Ok(())
    }

    /// Test containers of deployments that have ended go. Those that this daemon knows nothing of may
    /// be another one's.
    async fn clean_gates(&self) -> PortResult<()> {
        for deployment in self.world.gates.left().await? {
            let journal = self.world.journal.read(deployment).await?;
            let Some(state) = journal.first().and_then(State::open) else { continue };
            if self.engine.is_under_way(deployment) || !is_over(&journal) {
                continue;
            }
            self.world.gates.clean(deployment).await?;
            let line =
                format!("test containers of deployment {deployment} were left, and are removed");
            self.note(state.request.service(), &[line]);
        }
        Ok(())
    }

    /// Whether what `last` retired was kept as long as it should be.
    fn is_over(&self, last: &Committed) -> bool {
        let Some(retired) = last.retired else { return false };
        let Some(kept) = last.prepared.release.policy.retain.duration else { return false };
        let now = self.world.clock.now();
        let mut ages = lock(&self.ages);
        let age = ages
            .entry(last.deployment)
            .or_insert_with(|| Stopwatch::going(retired, now, Duration::ZERO, kept));
        age.elapsed() > kept
    }

    fn note(&self, service: &ServiceName, lines: &[String]) {
        let mut drift = lock(&self.drift);
        for line in lines {
            let known = drift.entry(service.clone()).or_default();
            let same = known.back().is_some_and(|last| last.ends_with(line.as_str()));
            if same {
                continue;
            }
            tracing::warn!(%service, line, "drift");
            if known.len() == DRIFT_KEPT {
                known.pop_front();
            }
            known.push_back(format!("{:.0} {line}", self.world.clock.now()));
        }
    }
}

/// As many instances of `colour` were seen as `wanted` asks for.
fn is_whole(wanted: &SwarmSnapshot, seen: &Seen, colour: Colour) -> bool {
    let Some(entries) = seen.colours.get(&colour) else { return true };
    wanted.replicas().is_none_or(|replicas| entries.len() as u64 >= replicas)
}

/// Take in the hints that come until there is a pause, or too many.
async fn gather(hints: &mut BoxStream<'static, ()>) {
    let _ = tokio::time::timeout(PUT_OFF, async {
        while let Ok(Some(())) = tokio::time::timeout(QUIET, hints.next()).await {}
    })
    .await;
}

fn is_over(journal: &[Journalled]) -> bool {
    matches!(journal.last().map(|last| &last.record), Some(Record::Ended { .. }))
}

fn sorted(backends: &[Backend]) -> Vec<&Backend> {
    let mut sorted: Vec<&Backend> = backends.iter().collect();
    sorted.sort();
    sorted
}

/// The service as the proxies should see it by its record; none without a route.
fn wanted_view(service: &ServiceName, record: &ServiceRecord) -> Option<ServiceView> {
    let route = record.route.as_ref()?;
    let of = |colour| ledger::backends(record.of(colour).map(|entry| &entry.instance));
    let backends = Colour::BOTH.into_iter().map(|colour| (colour, of(colour)));
    Some(ServiceView {
        service: service.clone(),
        rule: route.rule.clone()?,
        live: route.live(),
        generation: route.generation,
        backends: backends.filter(|(_, backends)| !backends.is_empty()).collect(),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
