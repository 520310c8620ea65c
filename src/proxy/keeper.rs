//! The task that owns one proxy.
//!
//! Flips are done at once. Changes that arrive while it works are put together: one rendering, one
//! check, at most one reload. A batch that fails is tried in parts, so that one bad service does not
//! stop the others and each caller gets its own verdict.

mod apply;
mod batch;
mod change;
mod clerk;
mod driver;
mod futile;
mod look;
mod machine;
mod plan;
mod proof;
mod public;
mod recorded;
mod report;
mod scribe;
mod templates;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

pub(crate) use change::{Change, Staged};

use super::error::{Error, Result};
use super::probe::{self, Prober};
use super::render::Rendition;
use super::routing::Entries;
use super::settings::Settings;
use super::user;
use crate::deploy::ports::{Answers, Idle, Registry};
use crate::model::{Colour, RouteRule, ServiceName, ServiceView};
use batch::Member;
use clerk::{Clerk, Order, Reply};
use driver::Driver;
use machine::Machine;
use proof::Claim;
use report::Report;

/// What a template renders now.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub rendition: Rendition,
    /// It is not what the file says.
    pub differs: bool,
    /// What the checker has against it.
    pub refused: Option<Error>,
}

/// Orders waiting for one keeper: more than services that can be deployed at once.
const MOST_ORDERS: usize = 1024;

/// From one look whether a colour is drained to the next.
const FIRST_LOOK: Duration = Duration::from_millis(5);
const LONGEST_LOOK: Duration = Duration::from_millis(100);

/// An instance that serves answers sooner; for one that does not, staging has more patience.
const AT_ONCE: Duration = Duration::from_millis(250);

/// Handle of a keeper. Once the last one is gone, its task finishes the act that is under way and ends:
/// cut off in the middle, what it began would go on without it.
#[derive(Clone)]
pub(crate) struct Keeper {
    settings: Arc<Settings>,
    entries: watch::Receiver<Arc<Entries>>,
    report: Arc<Report>,
    driver: Arc<Driver>,
    prober: Prober,
    secret: String,
    /// The last field: when the task ends, nobody else has the driver.
    orders: mpsc::Sender<Order>,
}

impl Keeper {
    /// Take up where the last keeper of this proxy left, and make the proxy agree. Where that one has
    /// not ended yet, wait for it.
    ///
    /// Where there was none, it begins with what `registry` says of the services.
    pub async fn start(mut settings: Settings, registry: &dyn Registry) -> Result<Self> {
        settings.user =
            settings.user.or_else(|| user::of(settings.kind, settings.pid_file.as_deref()));
        let problems = settings.problems();
        if !problems.is_empty() {
            return Err(Error::Settings { proxy: settings.name, problems });
        }
        let settings = Arc::new(settings);
        let report = Arc::new(Report::new(&settings.name));
        let machine = Machine::open(settings.clone(), report.clone(), registry).await?;
        let driver = machine.driver.clone();
        let prober = machine.prober.clone();
        let secret = machine.secret().to_owned();
        let (orders, incoming) = mpsc::channel(MOST_ORDERS);
        let (mut clerk, entries) = Clerk::new(machine, incoming);
        clerk.begin().await;
        tokio::spawn(clerk.work());
        Ok(Self { settings, entries, report, driver, prober, secret, orders })
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

    /// What the proxy has of all services.
    pub fn views(&self) -> Vec<ServiceView> {
        self.entries.borrow().values().map(|entry| entry.view.clone()).collect()
    }

    pub async fn change(&self, change: Change) -> Result<()> {
        self.order(|reply| Order::Change(Member { change, reply })).await
    }

    pub async fn flip(&self, service: &ServiceName, to: Colour, generation: u64) -> Result<()> {
        let service = service.clone();
        self.order(|reply| Order::Flip { service, to, generation, reply }).await
    }

    /// What the running proxy has as the idle colour of `service`, where one of it answers through the proxy
    /// at once; none when that takes a while to say.
    pub async fn idle(&self, service: &ServiceName) -> Option<Idle> {
        let asked = async {
            let known = self.entries.borrow().get(service).cloned()?;
            let colour = known.view.live?.other();
            let claim = Claim::of_idle(&self.settings, &known, colour).at_one_door();
            let service = service.clone();
            let (held, proved) = tokio::join!(
                // What it has read by now is known to whoever lets it read.
                self.order(|reply| Order::Held { service, colour, reply }),
                proof::prove(&self.prober, &claim, Duration::ZERO)
            );
            proved.ok()?;
            let held = held.ok().flatten()?.idle(colour);
            (held == known.idle(colour)).then_some(held)
        };
        timeout(AT_ONCE, asked).await.ok().flatten()
    }

    /// What would keep a colour of a service with `rule` from being staged, as far as it is known. Only
    /// what is `new` needs the template that was saved last.
    pub async fn obstacles(&self, rule: &RouteRule, new: bool) -> Vec<String> {
        let template = self.report.problem("template").filter(|_| new);
        let mut found: Vec<String> = template
            .map(|problem| problem.lines().next().unwrap_or_default().to_owned())
            .into_iter()
            .collect();
        let rule = rule.clone();
        let certified = self.order(|reply| Order::Certified { rule, reply }).await;
        let errors = [self.runs().await, certified].into_iter().filter_map(Result::err);
        found.extend(errors.map(|error| match error.remedy() {
            Some(remedy) => format!("{}; {remedy}", error.chain()),
            None => error.chain(),
        }));
        found
    }

    /// It runs, be it by other files than ours, which it would be made to read.
    async fn runs(&self) -> Result<()> {
        let told = probe::generation(self.settings.status).await;
        if told.is_err() && probe::is_closed(self.settings.status).await && self.serves().await {
            return Ok(());
        }
        told.map(drop)
    }

    /// The configuration as the template renders it now. It is checked where it differs from the file,
    /// or `always`.
    pub async fn render(&self, always: bool) -> Result<Rendered> {
        self.order(|reply| Order::Render { always, reply }).await
    }

    /// Whether the proxy's processes and sockets can be seen.
    pub async fn sees_proxy(&self) -> Result<()> {
        self.driver.is_seen().await
    }

    /// Whether one of the proxy's processes is seen to take requests.
    pub async fn serves(&self) -> bool {
        self.driver.is_serving().await
    }

    /// The proxy's processes, as far as they are seen on this host.
    pub async fn pids(&self) -> BTreeSet<i32> {
        self.driver.pids().await
    }

    /// Whether the public listener at `door` leads to the instances of a live service; none when no
    /// service is live there.
    pub async fn proved_at(&self, door: SocketAddr) -> Option<Result<()>> {
        let entries = self.entries.borrow().clone();
        let claims = entries.values().filter_map(|entry| Claim::of_live(&self.settings, entry));
        let at_door = claims.map(|claim| claim.at(door));
        let claim = at_door.into_iter().find(|claim| !claim.targets.is_empty())?;
        Some(proof::prove(&self.prober, &claim, Duration::ZERO).await)
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
        loop {
            match self.driver.is_drained(&entry, colour).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // A proxy that does not run has no request under way. One that is silent may have.
                Err(Error::NotRunning { .. } | Error::Socket { .. })
                    if probe::is_closed(self.settings.status).await =>
                {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_LOOK);
        }
    }

    /// The answers of `colour` so far.
    pub async fn answers(&self, service: &ServiceName, colour: Colour) -> Result<Answers> {
        self.driver.answers(service, colour).await
    }
}
