use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::deploy::failpoint;
use crate::deploy::feed::Feed;
use crate::deploy::ports::{Journal, PortError};
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
    /// The daemon shuts down.
    shutdown: CancellationToken,
    /// The journal refused the last append, which was said.
    refused: bool,
}

/// The journal refuses, and the daemon shuts down: nothing may be done on the strength of what was noted
/// last. The next start does not know of it, and goes on with what is in the journal.
#[derive(Debug)]
pub struct Unsaved;

impl Scribe {
    /// A scribe of deployment `id`, whose journal gave `state`.
    pub fn new(
        id: DeploymentId,
        state: State,
        journal: Arc<dyn Journal>,
        feed: Arc<Feed>,
        standing: watch::Sender<Standing>,
        shutdown: CancellationToken,
    ) -> Self {
        let unsaved = Vec::new();
        Self { id, state, unsaved, journal, feed, standing, shutdown, refused: false }
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

    /// Make durable what was noted, then tell it. Nothing goes on while the journal refuses, and the
    /// shutdown does not wait until it takes it.
    pub async fn save(&mut self) -> Result<(), Unsaved> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        // One try may take seconds, when another program holds the database.
        if self.refused && self.shutdown.is_cancelled() {
            return Err(Unsaved);
        }
        while let Err(error) = self.journal.append(self.id, &self.unsaved).await {
            self.complain(&error);
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Err(Unsaved),
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        self.refused = false;
        self.standing.send_replace(Standing::of(&self.state));
        for record in self.unsaved.drain(..) {
            let (step, what) = told(&record);
            self.feed.say(step, what);
        }
        failpoint::passed();
        Ok(())
    }

    /// Say once what the journal says, however often it is asked.
    fn complain(&mut self, error: &PortError) {
        if !std::mem::replace(&mut self.refused, true) {
            tracing::error!(
                deployment = %self.id,
                error = error.chain(),
                "the journal refuses: the deployment stands still until it does not"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::deploy::fixture;
    use crate::deploy::outlets::Outlets;
    use crate::deploy::ports::{Past, PortResult, Trouble};
    use crate::deploy::record::Journalled;
    use crate::model::{self, DeploymentView, ServiceName, Step};

    /// Takes everything, unless it refuses; counts how often it did.
    #[derive(Default)]
    struct Paper {
        written: Mutex<Vec<Record>>,
        refuses: AtomicBool,
        refusals: AtomicUsize,
    }

    #[async_trait]
    impl Journal for Paper {
        async fn append(&self, _: DeploymentId, records: &[Record]) -> PortResult<()> {
            if self.refuses.load(Ordering::SeqCst) {
                self.refusals.fetch_add(1, Ordering::SeqCst);
                return Err(PortError::new(Trouble::Other, "append"));
            }
            self.written.lock().unwrap().extend_from_slice(records);
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

        async fn journals(
            &self,
            _: &ServiceName,
            _: Option<DeploymentId>,
            _: usize,
        ) -> PortResult<Vec<(DeploymentId, Vec<Journalled>)>> {
            Ok(Vec::new())
        }

        async fn summaries(
            &self,
            _: Past<'_>,
            _: usize,
        ) -> PortResult<Vec<(DeploymentId, Option<DeploymentView>)>> {
            Ok(Vec::new())
        }

        async fn summarize(&self, _: &DeploymentView, _: usize) -> PortResult<()> {
            Ok(())
        }

        async fn sequence(&self, _: &ServiceName) -> PortResult<Option<u64>> {
            Ok(None)
        }

        async fn accept(&self, _: &ServiceName, _: u64) -> PortResult<()> {
            Ok(())
        }
    }

    fn scribe(paper: &Arc<Paper>, shutdown: &CancellationToken) -> Scribe {
        let id = DeploymentId::new();
        let feed = Feed::new(id, Vec::new(), Outlets::new().0);
        let state = fixture::opened(model::fixture::draft());
        let (standing, _) = watch::channel(Standing::of(&state));
        Scribe::new(id, state, Arc::clone(paper) as _, feed, standing, shutdown.clone())
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_not_written_down() {
        let paper = Arc::new(Paper::default());
        let mut scribe = scribe(&paper, &CancellationToken::new());
        let began = Record::Began { step: Step::Prepare };
        scribe.note(began.clone()).unwrap();
        let why = scribe.note(Record::Began { step: Step::Switch }).unwrap_err();
        assert!(why.contains("`switch` cannot begin"), "{why}");
        scribe.save().await.unwrap();
        assert_eq!(*paper.written.lock().unwrap(), [began]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_that_refuses_is_tried_until_the_shutdown_and_not_after_it() {
        let (paper, shutdown) = (Arc::new(Paper::default()), CancellationToken::new());
        paper.refuses.store(true, Ordering::SeqCst);
        let mut scribe = scribe(&paper, &shutdown);
        scribe.note(Record::Began { step: Step::Prepare }).unwrap();
        assert!(tokio::time::timeout(RETRY * 10, scribe.save()).await.is_err(), "it gave up");
        let tried = paper.refusals.load(Ordering::SeqCst);
        assert!(tried >= 10, "{tried}");
        shutdown.cancel();
        let saved = tokio::time::timeout(RETRY * 10, scribe.save()).await;
        assert!(saved.expect("it goes on trying").is_err());
        assert_eq!(paper.refusals.load(Ordering::SeqCst), tried);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_gives_a_journal_that_has_not_refused_its_try() {
        for refuses in [false, true] {
            let (paper, shutdown) = (Arc::new(Paper::default()), CancellationToken::new());
            paper.refuses.store(refuses, Ordering::SeqCst);
            shutdown.cancel();
            let mut scribe = scribe(&paper, &shutdown);
            scribe.note(Record::Began { step: Step::Prepare }).unwrap();
            let saved = tokio::time::timeout(RETRY * 10, scribe.save()).await;
            assert_eq!(saved.expect("it goes on trying").is_err(), refuses);
            assert_eq!(paper.written.lock().unwrap().len(), usize::from(!refuses));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_journal_that_takes_it_again_gets_all_that_was_noted() {
        let (paper, shutdown) = (Arc::new(Paper::default()), CancellationToken::new());
        paper.refuses.store(true, Ordering::SeqCst);
        let mut scribe = scribe(&paper, &shutdown);
        scribe.note(Record::Began { step: Step::Prepare }).unwrap();
        let taken_again = async {
            tokio::time::sleep(RETRY * 3).await;
            paper.refuses.store(false, Ordering::SeqCst);
        };
        let (saved, ()) = tokio::join!(scribe.save(), taken_again);
        saved.unwrap();
        assert_eq!(paper.written.lock().unwrap().len(), 1);
    }
}
