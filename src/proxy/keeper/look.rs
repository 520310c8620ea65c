//! Looking around: at what was left, at what was saved, and now and then at everything.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::clerk::Clerk;
use super::plan::Need;
use crate::proxy::error::Result;

/// An editor's burst of writes is over after this long without a new one; a burst without an end is
/// not waited for longer than the other.
const QUIET: Duration = Duration::from_millis(20);
const LONGEST_BURST: Duration = Duration::from_millis(100);

/// Writes to template files that may not be over.
pub(super) struct Burst {
    since: Instant,
    last: Instant,
}

impl Burst {
    /// When they are taken to be over.
    pub fn over_at(&self) -> Instant {
        (self.last + QUIET).min(self.since + LONGEST_BURST)
    }
}

impl Clerk {
    /// Make files and proxy agree with what was left.
    pub async fn begin(&mut self) {
        if let Err(error) = self.machine.keep_foreign().await {
            let why = error.chain();
            tracing::warn!(why, "the configuration that was found could not be kept aside");
        }
        let tampered = self.machine.is_tampered();
        // Instances that are only idle, and have changed since, are worth no reload.
        let current = self.machine.is_current().await;
        if current {
            self.machine.have_read_certificates();
        }
        let need = if current { Need::Live } else { Need::All };
        self.catch_up(need, tampered).await;
        self.notice_tampering(tampered);
    }

    /// Let the configuration file follow the flips.
    pub(super) async fn settle(&mut self) {
        self.settle_at = None;
        self.keep(false).await;
    }

    /// A template file may have been written.
    pub(super) fn hear(&mut self) {
        let last = Instant::now();
        let since = self.burst.as_ref().map_or(last, |burst| burst.since);
        self.burst = Some(Burst { since, last });
    }

    /// The burst of writes is over.
    pub(super) async fn saved(&mut self) {
        self.burst = None;
        if self.machine.look_at_template() {
            tracing::info!(proxy = self.machine.settings.name, "template was saved");
            self.catch_up(Need::All, false).await;
        }
    }

    /// Look at everything that nobody tells us of, unless the files are behind the flips anyway.
    pub(super) async fn look(&mut self) {
        if self.settle_at.is_some() {
            return;
        }
        if let Err(error) = self.machine.look_at_files().await {
            return self.note("configuration", Err(error));
        }
        let tampered = self.machine.is_tampered();
        let template = self.machine.look_at_template();
        self.machine.look_at_certificates().await;
        let need = if template { Need::All } else { Need::Live };
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
                self.note("renewal", Ok(()));
                return self.note("configuration", Ok(()));
            }
        }
        self.keep(force).await;
    }

    async fn keep(&mut self, force: bool) {
        if self.machine.has_new_certificates() {
            // They are to be read whatever was saved as a template.
            let read = self.try_catch_up(Need::Back, force).await;
            let done = read.is_ok();
            self.note("renewal", read);
            if done {
                return self.note("configuration", Ok(()));
            }
        } else {
            self.machine.report.set("renewal", None);
        }
        let kept = self.try_catch_up(Need::Live, force).await;
        self.note("configuration", kept);
    }

    async fn try_catch_up(&mut self, need: Need, force: bool) -> Result<()> {
        let entries = self.machine.entries().clone();
        let plan = self.machine.plan(entries, need, force).await?;
        if plan.reload
            && need != Need::All
            && let Some(error) = self.machine.futile().await
        {
            return Err(error);
        }
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
