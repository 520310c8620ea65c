//! The task behind a keeper: takes orders one after another, looks around in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::Rendered;
use super::batch::Member;
use super::machine::Machine;
use super::plan::Need;
use crate::model::{Colour, ServiceName};
use crate::proxy::error::Result;
use crate::proxy::routing::Entries;
use crate::proxy::watch::Watch;

/// How often files, template and proxy are looked at without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// An editor's burst of writes is over after this long without a new one; a burst without an end is
/// not waited for longer than the other.
const QUIET: Duration = Duration::from_millis(20);
const LONGEST_BURST: Duration = Duration::from_millis(100);

/// Services whose staged instances are asked at the same time: many at once are a burst that proxy and
/// instances are not asked to stand.
const PROOFS_AT_ONCE: usize = 16;

/// After a flip the configuration file follows once no other flip has come for this long: its check
/// would keep them waiting.
const SETTLE_AFTER: Duration = Duration::from_millis(200);

pub(crate) type Reply<T> = oneshot::Sender<Result<T>>;

/// What a keeper is asked for.
pub(crate) enum Order {
    Change(Member),
    Flip { service: ServiceName, to: Colour, generation: u64, reply: Reply<()> },
    Render { always: bool, reply: Reply<Rendered> },
}

pub(crate) struct Clerk {
    pub(super) machine: Machine,
    pub(super) pending: Vec<Member>,
    /// When the configuration file is to follow the flips.
    pub(super) settle_at: Option<Instant>,
    incoming: mpsc::Receiver<Order>,
    shown: watch::Sender<Arc<Entries>>,
    burst: Option<Burst>,
    /// Turns for the proofs that follow a batch.
    pub(super) proofs: Arc<Semaphore>,
}

/// Writes to template files that may not be over.
struct Burst {
    since: Instant,
    last: Instant,
}

impl Burst {
    fn over_at(&self) -> Instant {
        (self.last + QUIET).min(self.since + LONGEST_BURST)
    }
}

/// What woke the clerk.
enum Event {
    Order(Order),
    Ended,
    Due,
    Settle,
    Hint,
    Saved,
    Look,
}

impl Clerk {
    /// A clerk for `machine`, and where it shows what the files say.
    pub fn new(
        machine: Machine,
        incoming: mpsc::Receiver<Order>,
    ) -> (Self, watch::Receiver<Arc<Entries>>) {
        let (shown, entries) = watch::channel(Arc::new(machine.entries().clone()));
        let clerk = Self {
            machine,
            pending: Vec::new(),
            settle_at: None,
            incoming,
            shown,
            burst: None,
            proofs: Arc::new(Semaphore::new(PROOFS_AT_ONCE)),
        };
        (clerk, entries)
    }

    /// Make files and proxy agree with what was left.
    pub async fn begin(&mut self) {
        if let Err(error) = self.machine.keep_foreign().await {
            let why = error.chain();
            tracing::warn!(why, "the configuration that was found could not be kept aside");
        }
        let tampered = self.machine.is_tampered();
        self.catch_up(Need::All, tampered).await;
        self.notice_tampering(tampered);
    }

    /// Work until nobody is left to give orders.
    pub async fn work(mut self) {
        let mut watch = Watch::new();
        watch.follow(self.machine.template_files());
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        loop {
            match self.next(&watch, &mut looks).await {
                Event::Order(order) => self.take(order).await,
                Event::Ended => return,
                Event::Due => self.do_pending().await,
                Event::Settle => self.settle().await,
                Event::Hint => self.hear(),
                Event::Saved => self.saved().await,
                Event::Look => {
                    watch.forget();
                    watch.follow(self.machine.template_files());
                    self.look().await;
                }
            }
            watch.follow(self.machine.template_files());
            self.show();
        }
    }

    async fn next(&mut self, watch: &Watch, looks: &mut Interval) -> Event {
        let due = self.machine.next_reload().unwrap_or_else(Instant::now);
        let due = (!self.pending.is_empty()).then_some(due);
        let settle = self.settle_at;
        let saved = self.burst.as_ref().map(Burst::over_at);
        tokio::select! {
            biased;
            order = self.incoming.recv() => order.map_or(Event::Ended, Event::Order),
            () = at(due) => Event::Due,
            () = at(settle) => Event::Settle,
            () = at(saved) => Event::Saved,
            () = watch.hint() => Event::Hint,
            _ = looks.tick() => Event::Look,
        }
    }

    /// Take an order and all that wait behind it; flips are done at once, the rest together.
    async fn take(&mut self, first: Order) {
        let mut next = Some(first);
        while let Some(order) = next {
            match order {
                Order::Change(member) => self.pending.push(member),
                // Who asked for it has given it up, and may have asked for the opposite already.
                Order::Flip { reply, .. } if reply.is_closed() => {}
                Order::Flip { service, to, generation, reply } => {
                    let flipped = self.flip(&service, to, generation).await;
                    self.show();
                    // Who does not wait any more does not need the answer.
                    let _ = reply.send(flipped);
                }
                Order::Render { always, reply } => {
                    let _ = reply.send(self.render(always).await);
                }
            }
            next = self.incoming.try_recv().ok();
        }
        self.do_pending().await;
    }

    /// Show what the files say, to whoever asks without waiting.
    pub(super) fn show(&self) {
        self.shown.send_if_modified(|shown| {
            let changed = **shown != *self.machine.entries();
            if changed {
                *shown = Arc::new(self.machine.entries().clone());
            }
            changed
        });
    }

    async fn flip(&mut self, service: &ServiceName, to: Colour, generation: u64) -> Result<()> {
        if !self.machine.is_ready(service, to).await? {
            let entries = self.machine.entries().clone();
            let plan = self.machine.plan(entries, Need::All, false).await?;
            self.machine.execute(plan).await?;
        }
        self.machine.flip(service, to, generation).await?;
        self.settle_at = Some(Instant::now() + SETTLE_AFTER);
        Ok(())
    }

    async fn render(&mut self, always: bool) -> Result<Rendered> {
        let (rendition, differs) = self.machine.rendition()?;
        let checked = always || differs;
        let refused = if checked { self.machine.try_check(&rendition).await.err() } else { None };
        Ok(Rendered { rendition, differs, refused })
    }

    /// Let the configuration file follow the flips.
    async fn settle(&mut self) {
        self.settle_at = None;
        self.keep(false).await;
    }

    fn hear(&mut self) {
        let last = Instant::now();
        let since = self.burst.as_ref().map_or(last, |burst| burst.since);
        self.burst = Some(Burst { since, last });
    }

    async fn saved(&mut self) {
        self.burst = None;
        if self.machine.look_at_template() {
            tracing::info!(proxy = self.machine.settings.name, "template was saved");
            self.catch_up(Need::All, false).await;
        }
    }

    /// Look at everything that nobody tells us of, unless the files are behind the flips anyway.
    async fn look(&mut self) {
        if self.settle_at.is_some() {
            return;
        }
        if let Err(error) = self.machine.look_at_files().await {
            return self.note("configuration", Err(error));
        }
        let tampered = self.machine.is_tampered();
        let template = self.machine.look_at_template();
        let certificates = self.machine.look_at_certificates();
        let need = if template || certificates { Need::All } else { Need::Live };
        self.catch_up(need, tampered).await;
        self.notice_tampering(tampered);
    }

    /// Somebody else changed the file, and nobody told them that it would not last.
    fn notice_tampering(&self, tampered: bool) {
        if tampered && !self.machine.is_tampered() {
            let file = self.machine.settings.output.display();
            let now = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default();
            let notice = format!("`{file}` was changed by somebody else and put right at {now}");
            self.machine.report.notice(notice);
        }
    }

    /// Make the proxy agree with what is known. What the template on disk does not allow is reported,
    /// and the one in force is kept true.
    async fn catch_up(&mut self, need: Need, force: bool) {
        if need == Need::All {
            let new = self.try_catch_up(Need::All, force).await;
            let done = new.is_ok();
            self.note("template", new);
            if done {
                return self.note("configuration", Ok(()));
            }
        }
        self.keep(force).await;
    }

    async fn keep(&mut self, force: bool) {
        let kept = self.try_catch_up(Need::Live, force).await;
        self.note("configuration", kept);
    }

    async fn try_catch_up(&mut self, need: Need, force: bool) -> Result<()> {
        let entries = self.machine.entries().clone();
        let plan = self.machine.plan(entries, need, force).await?;
        if let Some(due) = self.wait_for(&plan) {
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

/// Sleep until `deadline`; for ever without one.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
