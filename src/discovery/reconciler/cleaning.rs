//! What was left behind and belongs to no colour: test containers, leases.

use tokio_util::sync::CancellationToken;

use super::Reconciler;
use super::cadence::SWEEP;
use crate::deploy::ports::PortResult;
use crate::deploy::record::{Journalled, Record};
use crate::deploy::saga::State;

impl Reconciler {
    /// Clean up now and then until `shutdown`, beside all other looks: a CI engine that is silent keeps
    /// nobody from following instances.
    pub(super) async fn clean_now_and_then(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let round = async {
                self.clean_up().await;
                tokio::time::sleep(SWEEP).await;
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = round => {}
            }
        }
    }

    async fn clean_up(&self) {
        if let Err(error) = self.clean_gates().await {
            tracing::debug!(error = error.chain(), "cannot look for test containers");
        }
        if let Err(error) = self.give_back_leases().await {
            tracing::debug!(error = error.chain(), "cannot look for leases that are left");
        }
    }

    /// Leases that an earlier life of this daemon took, and could not give back, go back now.
    async fn give_back_leases(&self) -> PortResult<()> {
        for service in self.world.leases.left().await? {
            // Whoever has the turn takes the lease for itself, and gives it back in the end.
            let Some(_turn) = self.engine.idle_turn(&service) else { continue };
            self.world.leases.take(&service).await?;
            self.world.leases.leave(&service, false).await;
        }
        Ok(())
    }

    /// Test containers of deployments that have ended go. Those that this daemon knows nothing of may
    /// be another one's.
    async fn clean_gates(&self) -> PortResult<()> {
        for deployment in self.world.gates.left().await? {
            let journal = self.world.journal.read(deployment).await?;
            let Some(state) = journal.first().and_then(State::open) else { continue };
            if self.engine.is_under_way(deployment) || !has_ended(&journal) {
                continue;
            }
            self.world.gates.clean(deployment).await?;
            let line =
                format!("test containers of deployment {deployment} were left, and are removed");
            self.diary.note(state.request.service(), &line);
        }
        Ok(())
    }
}

fn has_ended(journal: &[Journalled]) -> bool {
    matches!(journal.last().map(|last| &last.record), Some(Record::Ended { .. }))
}
