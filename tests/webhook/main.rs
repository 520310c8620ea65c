//! Webhooks against a real receiver: every occasion, hooks that are wrong, hang or fail, and what is
//! logged of them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod logs;
mod occasions;
mod receiver;
mod served;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use verdigris::config::{Notify, Occasion};
use verdigris::deploy::mailbox::Tally;
use verdigris::webhook::{self, Persistence};

use receiver::Receiver;
use support::fake::{Fake, Shared};

/// Short, so that a test sees a hook given up.
const QUICK: Persistence = Persistence {
    patience: Duration::from_millis(300),
    retries: 3,
    pause: Duration::from_millis(20),
};

/// The teller of a fake daemon.
struct Told {
    fake: Arc<Fake>,
    /// Notices that had to go.
    untold: Tally,
    over: CancellationToken,
    teller: JoinHandle<()>,
}

impl Told {
    fn to(hooks: &[(&Receiver, &[Occasion])]) -> Self {
        Self::by(Arc::default(), hooks)
    }

    fn by(fake: Arc<Fake>, hooks: &[(&Receiver, &[Occasion])]) -> Self {
        let hooks = hooks.iter().map(|(receiver, events)| hook(&receiver.url(), events));
        Self::with(fake, hooks.collect())
    }

    fn with(fake: Arc<Fake>, hooks: Vec<Notify>) -> Self {
        logs::start();
        let over = CancellationToken::new();
        let control = Arc::new(Shared(Arc::clone(&fake)));
        let untold = Tally::default();
        let telling = webhook::tell(hooks, control, QUICK, untold.clone(), over.clone());
        let teller = tokio::spawn(telling);
        Self { fake, untold, over, teller }
    }

    /// Nothing more happens: wait until the teller has left.
    async fn end(self) {
        self.over.cancel();
        let left = tokio::time::timeout(Duration::from_secs(10), self.teller).await;
        left.expect("the teller does not leave").unwrap();
    }
}

fn hook(url: &str, events: &[Occasion]) -> Notify {
    Notify { url: url.to_owned().into(), events: events.to_vec() }
}
