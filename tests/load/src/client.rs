//! One client: paces its requests, and writes down what becomes of each.

mod request;
mod stream;
mod websocket;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::HeaderMap;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Group, Kind, Target};
use crate::connection::{Connection, Line};
use crate::loss::Loss;
use crate::recorder::{Identity, Recorder};
use crate::tls::Tls;

/// Clients that follow one request by the next still breathe after a failure, so as not to spin.
const BREATH: Duration = Duration::from_millis(50);

/// What a client must know.
pub(crate) struct Settings {
    pub(crate) config: Arc<Config>,
    pub(crate) target: usize,
    pub(crate) tls: Option<Tls>,
}

impl Settings {
    fn target(&self) -> &Target {
        &self.config.targets[self.target]
    }

    fn identity(&self, headers: &HeaderMap) -> Identity {
        let text = |name: &str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        Identity {
            colour: text(&self.config.colour_header),
            release: text(&self.config.release_header),
        }
    }
}

/// When a client sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    first: Duration,
    every: Duration,
}

impl Pace {
    /// The clients of a group take turns, evenly spread.
    pub(crate) fn of(group: Group, number: usize) -> Self {
        // More than 2^52 clients will not be asked for.
        #[allow(clippy::cast_precision_loss)]
        let (clients, number) = (group.clients as f64, number as f64);
        Self {
            first: Duration::from_secs_f64(number / group.rate),
            every: Duration::from_secs_f64(clients / group.rate).max(Duration::from_micros(1)),
        }
    }

    /// A late request moves the later ones: the rate is a bound.
    fn ticks(self) -> Interval {
        let mut ticks = interval_at(tokio::time::Instant::now() + self.first, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }
}

/// One client.
pub(crate) struct Client {
    settings: Settings,
    kind: Kind,
    recorder: Arc<Recorder>,
    /// The connection that is kept alive.
    kept: Option<Connection>,
    /// The socket of the request that is under way, once it is connected.
    line: Option<Line>,
}

impl Client {
    pub(crate) fn new(settings: Settings, kind: Kind, recorder: Arc<Recorder>) -> Self {
        Self { settings, kind, recorder, kept: None, line: None }
    }

    /// Sends until told to stop; a request that is under way is finished.
    pub(crate) async fn run(mut self, pace: Pace, stop: CancellationToken) {
        let mut ticks = pace.ticks();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.kind {
                Kind::New | Kind::Strict | Kind::Standard => self.request().await,
                Kind::Slow => {
                    self.request().await;
                    ticks.reset_immediately();
                    self.breathe(&stop).await;
                }
                Kind::Stream => {
                    self.stream(&stop).await;
                    ticks.reset_immediately();
                    self.breathe(&stop).await;
                }
                Kind::Ws => self.websocket(&mut ticks, &stop).await,
            }
        }
    }

    async fn breathe(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(BREATH) => {}
        }
    }

    async fn open(&self) -> Result<Connection, Loss> {
        self.recorder.connected(self.kind);
        let address = self.settings.target().address;
        Connection::open(address, self.settings.tls.as_ref()).await
    }

    fn lost(&self, begun: Instant, loss: Loss, retried: bool) {
        self.recorder.lost(self.settings.target, self.kind, begun, loss, retried);
    }
}
