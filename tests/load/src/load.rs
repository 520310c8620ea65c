//! A load from its start to its report.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{self, Client, Settings};
use crate::config::{Config, ConfigError, Group};
use crate::recorder::Recorder;
use crate::report::Report;
use crate::tls::Tls;

/// A load that is being made. Dropping it stops it too, without a report.
pub struct Load {
    recorder: Arc<Recorder>,
    stop: CancellationToken,
    clients: TaskTracker,
}

impl Load {
    /// Starts all clients on the current runtime.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn start(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let tls: Vec<_> = config.targets.iter().map(Tls::of).collect::<Result<_, _>>()?;
        let names = config.targets.iter().map(|target| target.name.clone()).collect();
        let load = Self {
            recorder: Arc::new(Recorder::new(names, config.keep.clone())),
            stop: CancellationToken::new(),
            clients: TaskTracker::new(),
        };
        let config = Arc::new(config);
        for (index, tls) in tls.iter().enumerate() {
            for group in &config.groups {
                load.start_group(&config, index, tls.as_ref(), *group);
            }
        }
        load.clients.close();
        Ok(load)
    }

    fn start_group(&self, config: &Arc<Config>, target: usize, tls: Option<&Tls>, group: Group) {
        for number in 0..group.clients {
            let settings = Settings { config: config.clone(), target, tls: tls.cloned() };
            let client = Client::new(settings, group.kind, self.recorder.clone());
            let pace = client::Pace::of(group, number);
            self.clients.spawn(client.run(pace, self.stop.clone()));
        }
    }

    /// When it began: instant 0 of the report.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.recorder.started()
    }

    /// Everything until now, except [`Report::answers`].
    #[must_use]
    pub fn report(&self) -> Report {
        self.recorder.report()
    }

    /// Sends no more, awaits the answers that are due (streams and web sockets are left instead),
    /// and reports.
    pub async fn finish(self) -> Report {
        self.stop.cancel();
        self.clients.wait().await;
        self.recorder.final_report()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
