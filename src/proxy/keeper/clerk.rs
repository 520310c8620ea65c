//! The task behind a keeper: takes orders one after another, looks around in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

use super::Rendered;
use super::batch::Member;
use super::look::Burst;
use super::machine::Machine;
use super::plan::Need;
use crate::model::{Colour, RouteRule, ServiceName};
use crate::proxy::error::Result;
use crate::proxy::routing::{Entries, Entry};
use crate::proxy::watch::Watch;

/// How often files, template and proxy are looked at without a hint.
const LOOK_EVERY: Duration = Duration::from_secs(5);

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
    Flip {
        service: ServiceName,
        to: Colour,
        generation: u64,
        reply: Reply<()>,
    },
    Render {
        always: bool,
        reply: Reply<Rendered>,
    },
    /// What is held of a service, when the running proxy has `colour` of it just so.
    Held {
        service: ServiceName,
        colour: Colour,
        reply: Reply<Option<Arc<Entry>>>,
    },
    /// Whether there are the certificates that a rule needs.
    Certified {
        rule: RouteRule,
        reply: Reply<()>,
    },
}

pub(crate) struct Clerk {
    pub(super) machine: Machine,
    pub(super) pending: Vec<Member>,
    /// When the configuration file is to follow the flips.
    pub(super) settle_at: Option<Instant>,
    incoming: mpsc::Receiver<Order>,
    shown: watch::Sender<Arc<Entries>>,
    pub(super) burst: Option<Burst>,
    /// Turns for the proofs that follow a batch.
    pub(super) proofs: Arc<Semaphore>,
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
                Order::Held { service, colour, reply } => {
                    let _ = reply.send(self.machine.held(&service, colour).await);
                }
                Order::Certified { rule, reply } => {
                    let _ = reply.send(self.machine.certified(&rule).await);
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
            let plan = self.machine.plan(entries, Need::Back, false).await?;
            self.machine.execute(plan).await?;
        }
        self.machine.flip(service, to, generation).await?;
        self.settle_at = Some(Instant::now() + SETTLE_AFTER);
        Ok(())
    }

    async fn render(&mut self, always: bool) -> Result<Rendered> {
        let (rendition, differs) = self.machine.rendition().await?;
        let checked = always || differs;
        let refused = if checked { self.machine.try_check(&rendition).await.err() } else { None };
        Ok(Rendered { rendition, differs, refused })
    }
}

/// Sleep until `deadline`; for ever without one.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
