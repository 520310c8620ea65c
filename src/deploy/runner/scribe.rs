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

    /// Take `record` in. One that cannot stand here is refused, and says why: saved, it would be a journal
    /// that the next start cannot make sense of.
    pub fn note(&mut self, record: Record) -> Result<(), String> {
        self.state.apply(&record)?;
        self.unsaved.push(record);
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::deploy::fixture;
    use crate::deploy::outlets::Outlets;
    use crate::deploy::ports::PortResult;
    use crate::deploy::record::Journalled;
    use crate::model::{self, ServiceName, Step};

    #[derive(Default)]
    struct Paper(Mutex<Vec<Record>>);

    #[async_trait]
    impl Journal for Paper {
        async fn append(&self, _: DeploymentId, records: &[Record]) -> PortResult<()> {
            self.0.lock().unwrap().extend_from_slice(records);
            Ok(())
        }

        async fn read(&self, _: DeploymentId) -> PortResult<Vec<Journalled>> {
            Ok(Vec::new())
        }

        async fn unfinished(&self) -> PortResult<Vec<DeploymentId>> {
            Ok(Vec::new())
        }

        async fn recent(&self, _: Option<&ServiceName>, _: usize) -> PortResult<Vec<DeploymentId>> {
            Ok(Vec::new())
        }

        async fn sequence(&self, _: &ServiceName) -> PortResult<Option<u64>> {
            Ok(None)
        }

        async fn accept(&self, _: &ServiceName, _: u64) -> PortResult<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_not_written_down() {
        let paper = Arc::new(Paper::default());
        let id = DeploymentId::new();
        let feed = Feed::new(id, Vec::new(), Outlets::new().0);
        let state = fixture::opened(model::fixture::draft());
        let (standing, _) = watch::channel(Standing::of(&state));
        let mut scribe = Scribe::new(id, state, Arc::clone(&paper) as _, feed, standing);
        let began = Record::Began { step: Step::Prepare };
        scribe.note(began.clone()).unwrap();
        let why = scribe.note(Record::Began { step: Step::Switch }).unwrap_err();
        assert!(why.contains("`switch` cannot begin"), "{why}");
        scribe.save().await;
        assert_eq!(*paper.0.lock().unwrap(), [began]);
    }
}
