//! What `/metrics` shows.

mod now;

use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::deploy::mailbox::Tally;
use crate::model::{Event, Happening, Outcome, Step};
pub use now::Now;

/// Upper bounds of the seconds that a step takes: from a flip to a long gate.
const SECONDS: [f64; 9] = [0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct End {
    outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    step: String,
}

/// The daemon's figures.
pub struct Metrics {
    registry: Arc<Registry>,
    counted: Counted,
}

#[derive(Clone, Default)]
struct Counted {
    deployments: Family<End, Counter>,
    failures: Family<Of, Counter>,
    gates: Seconds,
}

/// A histogram of seconds with the bounds above.
#[derive(Clone)]
struct Seconds(Histogram);

impl Default for Seconds {
    fn default() -> Self {
        Self(Histogram::new(SECONDS))
    }
}

impl Metrics {
    /// Besides what it counts itself, it shows how all is `now`, the news that somebody `missed` and the
    /// notices that webhooks were not told (`untold`) since they were too slow.
    pub fn new(now: Now, missed: Tally, untold: Tally) -> Self {
        let counted = Counted::default();
        let mut registry = Registry::with_prefix("verdigris");
        registry.register(
            "deployments",
            "Deployments that ended, by outcome",
            counted.deployments.clone(),
        );
        registry.register("step_failures", "Steps that failed", counted.failures.clone());
        registry.register("gate_seconds", "How long gates took", counted.gates.0.clone());
        registry.register_collector(Box::new(now));
        registry.register_collector(Box::new(Gone {
            name: "news_missed",
            help: "What happened and was not heard by webhooks or metrics, which were too slow",
            tally: missed,
        }));
        registry.register_collector(Box::new(Gone {
            name: "webhook_notices_dropped",
            help: "Notices that a webhook was not told since too many waited for it",
            tally: untold,
        }));
        Self { registry: Arc::new(registry), counted }
    }

    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// Count what happens until `shutdown`.
    pub fn count(
        &self,
        mut events: BoxStream<'static, Event>,
        shutdown: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let counted = self.counted.clone();
        async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    event = events.next() => match event {
                        Some(event) => counted.take_in(&event),
                        None => return,
                    },
                }
            }
        }
    }
}

/// Shows a tally that is kept elsewhere.
#[derive(Debug)]
struct Gone {
    name: &'static str,
    help: &'static str,
    tally: Tally,
}

impl Collector for Gone {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let counter = ConstCounter::new(self.tally.count());
        let metric =
            encoder.encode_descriptor(self.name, self.help, None, counter.metric_type())?;
        counter.encode(metric)
    }
}

impl Counted {
    fn take_in(&self, event: &Event) {
        match &event.what {
            Happening::Ended { outcome } => self.end(outcome),
            Happening::Failed { failure } => self.fail(failure.step),
            Happening::Gate { millis, .. } => {
                #[allow(clippy::cast_precision_loss, reason = "milliseconds of one gate")]
                self.gates.0.observe(*millis as f64 / 1000.0);
            }
            _ => {}
        }
    }

    fn end(&self, outcome: &Outcome) {
        let label = End { outcome: outcome.as_str().to_owned() };
        self.deployments.get_or_create(&label).inc();
    }

    fn fail(&self, step: Step) {
        self.failures.get_or_create(&Of { step: step.to_string() }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::mailbox::{Weight, mailbox};

    #[test]
    fn what_was_not_told_is_shown() {
        let (missed, untold) = (Tally::default(), Tally::default());
        let now = Now { standings: Box::new(Vec::new), proxies: Box::new(Vec::new) };
        let metrics = Metrics::new(now, missed.clone(), untold.clone());
        for (tally, times) in [(missed, 2), (untold, 3)] {
            let (sender, _mailbox) = mailbox(0, tally);
            for _ in 0..times {
                sender.send(Weight::End, ());
            }
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.registry()).unwrap();
        assert!(text.contains("\nverdigris_news_missed_total 2\n"), "{text}");
        assert!(text.contains("\nverdigris_webhook_notices_dropped_total 3\n"), "{text}");
    }
}
