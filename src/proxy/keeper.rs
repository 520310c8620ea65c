//! The task that owns one proxy.
//!
//! Flips are done at once. Changes that arrive while it works are put together: one rendering, one
//! check, at most one reload. A batch that fails is halved, so that one bad service does not stop the
//! others and each caller gets its own verdict.

mod change;
mod driver;
mod machine;
mod proof;
mod report;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use change::Change;
use change::Need;
use driver::{Driver, addresses};
use machine::Machine;
use proof::Claim;
use report::Report;

use super::error::{Error, Result};
use super::render::Rendition;
use super::routing::Entries;
use super::settings::Settings;
use super::watch::Watch;
use crate::deploy::ports::Answers;
use crate::model::{Colour, ServiceName, ServiceView};

/// Orders waiting for one keeper: more than services that can be deployed at once.
const MOST_ORDERS: usize = 1024;

/// How often files, template and proxy are looked at without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An editor's burst of writes is over after this long without a new one.
const QUIET: Duration = Duration::from_millis(20);

/// After a flip the files follow once nothing has come for this long.
const SETTLE_AFTER: Duration = Duration::from_millis(50);

/// From one look whether a colour is drained to the next.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(100);

type Reply<T> = oneshot::Sender<Result<T>>;

enum Order {
    Change(Change, Reply<()>),
    Flip(ServiceName, Colour, u64, Reply<()>),
    Render(Reply<(Rendition, bool)>),
}

/// Handle of a keeper; its task ends with the last one.
#[derive(Clone)]
pub(crate) struct Keeper {
    settings: Arc<Settings>,
    orders: mpsc::Sender<Order>,
    entries: watch::Receiver<Arc<Entries>>,
    report: Arc<Report>,
    driver: Arc<Driver>,
    secret: String,
    _task: Arc<AbortOnDropHandle<()>>,
}

impl Keeper {
    /// Take up where the last keeper of this proxy left, and make the proxy agree.
    pub async fn start(settings: Settings) -> Result<Self> {
        let problems = settings.problems();
        if !problems.is_empty() {
            let proxy = settings.name;
            return Err(Error::Settings { proxy, problems });
        }
        let settings = Arc::new(settings);
        let report = Arc::new(Report::default());
        let machine = Machine::open(settings.clone(), report.clone()).await?;
        let (orders, incoming) = mpsc::channel(MOST_ORDERS);
        let (shown, entries) = watch::channel(Arc::new(machine.entries().clone()));
        let driver = machine.driver.clone();
        let secret = machine.secret().to_owned();
        let mut clerk = Clerk { machine, incoming, shown, pending: Vec::new(), settle_at: None };
        clerk.begin().await;
        let task = AbortOnDropHandle::new(tokio::spawn(clerk.work()));
        Ok(Self { settings, orders, entries, report, driver, secret, _task: Arc::new(task) })
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The secret that makes the proxy tell its instances.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// What the proxy has of `service`.
    pub fn view(&self, service: &ServiceName) -> Option<ServiceView> {
        self.entries.borrow().get(service).map(|entry| entry.view.clone())
    }

    pub async fn change(&self, change: Change) -> Result<()> {
        self.order(|reply| Order::Change(change, reply)).await
    }

    pub async fn flip(&self, service: &ServiceName, to: Colour, generation: u64) -> Result<()> {
        let service = service.clone();
        self.order(|reply| Order::Flip(service, to, generation, reply)).await
    }

    /// The configuration as the template renders it now, and whether it differs from the file.
    pub async fn render(&self) -> Result<(Rendition, bool)> {
        self.order(Order::Render).await
    }

    async fn order<T>(&self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(order(reply)).await.map_err(|_| Error::Ended)?;
        answer.await.map_err(|_| Error::Ended)?
    }

    /// Wait until no request is under way on `colour`.
    pub async fn drained(&self, service: &ServiceName, colour: Colour) -> Result<()> {
        let Some(entry) = self.entries.borrow().get(service).cloned() else {
            return Ok(());
        };
        let mut pause = FIRST_LOOK;
        while !self.driver.is_drained(&entry, colour).await? {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
        Ok(())
    }

    /// The answers of `colour` so far.
    pub async fn answers(&self, service: &ServiceName, colour: Colour) -> Result<Answers> {
        self.driver.answers(service, colour).await
    }
}

/// The task behind a keeper.
struct Clerk {
    machine: Machine,
    incoming: mpsc::Receiver<Order>,
    shown: watch::Sender<Arc<Entries>>,
    pending: Vec<(Change, Reply<()>)>,
    /// When the files are to follow the flips.
    settle_at: Option<Instant>,
}

/// What woke the clerk.
enum Event {
    Order(Order),
    Ended,
    Due,
    Settle,
    Saved,
    Look,
}

impl Clerk {
    async fn begin(&mut self) {
        let foreign = !self.machine.is_own(self.machine.file());
        let need = if foreign && self.machine.has_written() {
            self.note_hand_edit();
            Need::Reload
        } else {
            Need::All
        };
        if let Err(error) = self.machine.keep_foreign().await {
            tracing::warn!(
                error = error.chain(),
                "the configuration found could not be kept aside"
            );
        }
        self.catch_up(need).await;
    }

    async fn work(mut self) {
        let mut watch = Watch::new();
        watch.follow(&self.machine.template_paths());
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        loop {
            match self.next(&watch, &mut looks).await {
                Event::Order(order) => self.take(order).await,
                Event::Ended => return,
                Event::Due => self.pending().await,
                Event::Settle => self.settle().await,
                Event::Saved => {
                    self.quiet(&watch).await;
                    self.saved().await;
                    watch.follow(&self.machine.template_paths());
                }
                Event::Look => {
                    self.look().await;
                    watch.renew(&self.machine.template_paths());
                }
            }
            self.shown.send_if_modified(|shown| {
                let changed = **shown != *self.machine.entries();
                if changed {
                    *shown = Arc::new(self.machine.entries().clone());
                }
                changed
            });
        }
    }

    async fn next(&mut self, watch: &Watch, looks: &mut tokio::time::Interval) -> Event {
        let due = self.machine.next_reload().unwrap_or_else(Instant::now);
        let settle_at = self.settle_at;
        tokio::select! {
            biased;
            order = self.incoming.recv() => order.map_or(Event::Ended, Event::Order),
            () = sleep_until(due), if !self.pending.is_empty() => Event::Due,
            () = sleep_until(settle_at.unwrap_or(due)), if settle_at.is_some() => Event::Settle,
            () = watch.hint() => Event::Saved,
            _ = looks.tick() => Event::Look,
        }
    }

    /// Take an order and all that wait behind it; do them, flips first.
    async fn take(&mut self, first: Order) {
        let mut orders = VecDeque::from([first]);
        while let Ok(order) = self.incoming.try_recv() {
            orders.push_back(order);
        }
        for order in orders {
            match order {
                Order::Change(change, reply) => self.pending.push((change, reply)),
                Order::Flip(service, to, generation, reply) => {
                    let flipped = self.flip(&service, to, generation).await;
                    self.show();
                    // Who does not wait any more does not need the answer.
                    let _ = reply.send(flipped);
                }
                Order::Render(reply) => {
                    let _ = reply.send(self.render().await);
                }
            }
        }
        self.pending().await;
    }

    fn show(&self) {
        self.shown.send_replace(Arc::new(self.machine.entries().clone()));
    }

    async fn flip(&mut self, service: &ServiceName, to: Colour, generation: u64) -> Result<()> {
        if !self.machine.is_ready(service, to).await? {
            let plan = self.machine.plan(self.machine.entries().clone(), Need::All).await?;
            self.machine.execute(plan).await?;
        }
        self.machine.flip(service, to, generation).await?;
        self.settle_at = Some(Instant::now() + SETTLE_AFTER);
        Ok(())
    }

    async fn render(&mut self) -> Result<(Rendition, bool)> {
        let rendition = self.machine.rendition()?;
        let differs = self.machine.file() != Some(rendition.text.as_str());
        if differs {
            self.machine.try_check(&rendition).await?;
        }
        Ok((rendition, differs))
    }

    /// Do what is pending, unless it needs a reload that is not due yet.
    async fn pending(&mut self) {
        let batch = std::mem::take(&mut self.pending);
        if batch.is_empty() {
            return;
        }
        let mut admitted = Vec::new();
        for (change, reply) in batch {
            match self.admit(&change).await {
                Ok(()) => admitted.push((change, reply)),
                Err(error) => drop(reply.send(Err(error))),
            }
        }
        self.bring(admitted, true).await;
    }

    /// A restore moves the public requests back before anything else.
    async fn admit(&mut self, change: &Change) -> Result<()> {
        self.machine.admit(change)?;
        if let Change::Restore { service, before } = change {
            self.machine.flip_back(service, before.as_ref()).await?;
            self.show();
        }
        Ok(())
    }

    /// Make `batch` so, together; where that fails, in halves. `may_wait` puts it off until a reload
    /// is due.
    fn bring(&mut self, batch: Vec<(Change, Reply<()>)>, may_wait: bool) -> BoxFuture<'_, ()> {
        async move {
            let mut entries = self.machine.entries().clone();
            let mut need = Need::Live;
            let mut members = Vec::new();
            for (change, reply) in batch {
                let mut tried = entries.clone();
                match change.apply(&mut tried) {
                    Ok(notice) => {
                        let subject = format!("instances of {}", change.service());
                        self.machine.report.set(&subject, notice);
                        entries = tried;
                        need = need.max(change.need());
                        members.push((change, reply));
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            if members.is_empty() {
                return;
            }
            let plan = match self.machine.plan(entries, need).await {
                Ok(plan) => plan,
                Err(error) => return self.failed(members, error).await,
            };
            let due = self.machine.next_reload().filter(|due| plan.reload && *due > Instant::now());
            match due {
                Some(_) if may_wait => {
                    members.append(&mut self.pending);
                    self.pending = members;
                    return;
                }
                Some(due) => sleep_until(due).await,
                None => {}
            }
            match self.machine.execute(plan).await {
                Ok(()) => {
                    self.machine.report.set_agreed(true);
                    self.show();
                    for (change, reply) in members {
                        self.proved(&change, reply);
                    }
                }
                Err(error) => self.failed(members, error).await,
            }
        }
        .boxed()
    }

    /// Try the halves of a batch apart; a single change gets the error.
    async fn failed(&mut self, mut members: Vec<(Change, Reply<()>)>, error: Error) {
        let apart = members.len() > 1 && error.may_be_one();
        if apart {
            let second = members.split_off(members.len() / 2);
            self.bring(members, false).await;
            self.bring(second, false).await;
            return;
        }
        let error = Arc::new(error);
        for (_, reply) in members {
            let _ = reply.send(Err(Error::Shared(error.clone())));
        }
    }

    /// Answer the caller, after a stage once an instance of the idle colour has answered through the
    /// proxy. The clerk does not wait for that.
    fn proved(&self, change: &Change, reply: Reply<()>) {
        let Change::Stage { view, colour, .. } = change else {
            let _ = reply.send(Ok(()));
            return;
        };
        let Some(entry) = self.machine.entries().get(&view.service) else {
            let _ = reply.send(Err(Error::Unknown(view.service.clone())));
            return;
        };
        let claim = Claim {
            targets: proof::targets(&self.machine.settings, &entry.view.rule),
            colour: Some(*colour),
            accept: addresses(entry, *colour),
        };
        let prober = self.machine.prober.clone();
        tokio::spawn(async move {
            let proved = proof::prove(&prober, &claim, proof::STAGED).await;
            let _ = reply.send(proved);
        });
    }

    /// Let the files follow the flips.
    async fn settle(&mut self) {
        self.settle_at = None;
        let entries = self.machine.entries().clone();
        let settled = match self.machine.plan(entries, Need::Live).await {
            Ok(plan) => self.machine.execute(plan).await,
            Err(error) => Err(error),
        };
        self.note("configuration", settled);
    }

    /// Wait until a burst of writes is over.
    async fn quiet(&self, watch: &Watch) {
        while tokio::time::timeout(QUIET, watch.hint()).await.is_ok() {}
    }

    async fn saved(&mut self) {
        if self.machine.look_at_template() {
            tracing::info!(proxy = self.machine.settings.name, "template was saved");
            self.catch_up(Need::All).await;
        }
    }

    /// Look at everything that nobody tells us of.
    async fn look(&mut self) {
        let template = self.machine.look_at_template();
        let certificates = self.machine.look_at_certificates();
        let own = match self.machine.look_at_file().await {
            Ok(own) => own,
            Err(error) => return self.note("configuration", Err(error)),
        };
        if !own && self.machine.has_written() {
            self.note_hand_edit();
            return self.catch_up(Need::Reload).await;
        }
        let need = if template || certificates { Need::All } else { Need::Live };
        self.catch_up(need).await;
    }

    fn note_hand_edit(&self) {
        let settings = &self.machine.settings;
        tracing::warn!(
            proxy = settings.name,
            file = %settings.output.display(),
            "the configuration was changed by somebody else and is put right"
        );
    }

    /// Make the proxy agree with what is known, and report where that fails.
    async fn catch_up(&mut self, need: Need) {
        let caught_up = self.try_catch_up(need).await;
        self.note("configuration", caught_up);
    }

    async fn try_catch_up(&mut self, need: Need) -> Result<()> {
        let entries = self.machine.entries().clone();
        let plan = self.machine.plan(entries, need).await?;
        if let Some(due) = self.machine.next_reload().filter(|_| plan.reload) {
            sleep_until(due).await;
        }
        self.machine.execute(plan).await
    }

    fn note(&self, subject: &str, outcome: Result<()>) {
        self.machine.report.set_agreed(outcome.is_ok());
        let problem = outcome.err().map(|error| {
            let mut lines = vec![error.chain()];
            lines.extend(error.details());
            lines.join("\n")
        });
        self.machine.report.set(subject, problem);
    }
}
