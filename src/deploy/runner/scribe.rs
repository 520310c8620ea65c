use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::deploy::failpoint;
use crate::deploy::feed::Feed;
use crate::deploy::ports::Journal;
use crate::deploy::record::Record;
use crate::deploy::saga::State;
use crate::deploy::standing::Standing;
use crate::deploy::view::told;
use crate::model::DeploymentId;

/// Between two tries to append to a journal that refuses.
const RETRY: Duration = Duration::from_millis(500);

/// Writes the journal of one deployment, and keeps the state that follows from it.
///
/// What is noted is part of the state at once, so that the next decision can be taken; it is saved, in
/// one append, before anything is done on the strength of it. So a chain of results, skipped steps and
/// the intent that follows from them costs one sync of the disk, not one each.
pub struct Scribe {
    id: DeploymentId,
    state: State,
    unsaved: Vec<Record>,
    journal: Arc<dyn Journal>,
    feed: Arc<Feed>,
    standing: watch::Sender<Standing>,
}

impl Scribe {
    /// A scribe of deployment `id`, whose journal gave `state`.
    pub fn new(
        id: DeploymentId,
        state: State,
        journal: Arc<dyn Journal>,
        feed: Arc<Feed>,
        standing: watch::Sender<Standing>,
    ) -> Self {
        Self { id, state, unsaved: Vec::new(), journal, feed, standing }
    }

    /// The deployment as it stands, with what is noted and not saved yet.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Take `record` in.
    pub fn note(&mut self, record: Record) {
        if let Err(why) = self.state.apply(&record) {
            tracing::error!(deployment = %self.id, why, "an illegal record was noted");
        }
        self.unsaved.push(record);
    }

    /// Make durable what was noted, then tell it. Nothing goes on while the journal refuses.
    pub async fn save(&mut self) {
        if self.unsaved.is_empty() {
            return;
        }
        let mut said = false;
        while let Err(error) = self.journal.append(self.id, &self.unsaved).await {
            if !said {
                tracing::error!(deployment = %self.id, error = error.chain(), "the journal refuses");
                said = true;
            }
            tokio::time::sleep(RETRY).await;
        }
        self.standing.send_replace(Standing::of(&self.state));
        for record in self.unsaved.drain(..) {
            let (step, what) = told(&record);
            self.feed.say(step, what);
        }
        failpoint::passed();
    }
}
