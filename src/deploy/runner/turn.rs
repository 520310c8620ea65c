use std::sync::Arc;
use std::time::Duration;

use super::{End, Runner};
use crate::deploy::feed::Feed;
use crate::deploy::ports::{Leases, Trouble};
use crate::model::{Happening, ServiceName};

/// Between two looks whether another daemon has given the service back.
const LEASE_RETRY: Duration = Duration::from_secs(1);

/// How long giving the lease back is waited for: a registry that is away must not hold up what follows.
const LEAVE: Duration = Duration::from_secs(2);

impl Runner {
    /// Wait for the turn, here and among the daemons, then run to an end.
    pub async fn run_in_turn<T>(mut self, turn: impl Future<Output = T>) -> End {
        let standing = self.standing.clone();
        let service = self.state().request.service().clone();
        let leases = Arc::clone(&self.world.leases);
        let turn = self.wait_for(turn).await;
        if turn.is_some() {
            let lease = lease(Arc::clone(&leases), service.clone(), Arc::clone(&self.feed));
            self.wait_for(lease).await;
        }
        let end = if self.shutdown.is_cancelled() { End::Parked } else { self.run().await };
        // Before the turn passes on, so that the next one cannot lose what it has just taken.
        if turn.is_some() {
            let unfinished = end == End::Parked;
            // On its own, so that what takes longer is not broken off but given back later.
            let leaving = tokio::spawn(async move { leases.leave(&service, unfinished).await });
            let _ = tokio::time::timeout(LEAVE, leaving).await;
        }
        standing.send_modify(|standing| standing.left = true);
        end
    }

    /// Wait until `turn` comes (another deployment of the service is under way); what is told
    /// meanwhile is obeyed. None when it is not to go on, or not to wait for it.
    async fn wait_for<T>(&mut self, turn: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(turn);
        loop {
            if self.scribe.save().await.is_err() {
                return None;
            }
            // One that was stopped before it began has nothing to undo; any other needs its turn for that.
            if self.state().failure.is_some() && self.state().steps.is_empty() {
                return None;
            }
            let deadline = self.until_deadline();
            let stoppable = self.is_stoppable_by_time();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                Some(command) = self.commands.recv() => self.obey(command),
                () = tokio::time::sleep(deadline), if stoppable => self.pass_deadline(),
                turn = &mut turn => return Some(turn),
            }
        }
    }
}

/// Wait while another daemon has the service. Any other trouble is left to the steps that need the
/// lease: they meet it again, and what they make of it is the rule.
async fn lease(leases: Arc<dyn Leases>, service: ServiceName, feed: Arc<Feed>) {
    let mut said = false;
    while let Err(error) = leases.take(&service).await {
        if error.trouble != Trouble::Superseded {
            return;
        }
        if !said {
            feed.say(None, Happening::Note { text: format!("waits: {}", error.chain()) });
            said = true;
        }
        tokio::time::sleep(LEASE_RETRY).await;
    }
}
