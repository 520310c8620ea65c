use super::same::is_same;
use super::way::{Other, way};
use super::{Active, Engine};
use crate::deploy::control::{Refusal, RefusalKind, Submitted};
use crate::deploy::feed::Feed;
use crate::deploy::ports::Trouble;
use crate::deploy::runner::{Command, opening};
use crate::deploy::saga::State;
use crate::deploy::view::told;
use crate::model::{DeploymentId, FailureKind, OnBusy, Request};

impl Engine {
    /// Take a request. It is taken or refused as a whole also when whoever asks goes away meanwhile: a
    /// deployment that is on record and does not run would begin with the daemon's next start.
    pub async fn submit(&self, request: Request) -> Result<Submitted, Refusal> {
        let engine = self.clone();
        let admission = self.inner.tracker.spawn(async move { engine.admit(request).await });
        admission.await.unwrap_or_else(|defect| {
            let what = format!("the admission broke down: {defect}");
            Err(Refusal::new(RefusalKind::Internal, what))
        })
    }

    async fn admit(&self, request: Request) -> Result<Submitted, Refusal> {
        let turns = self.turns(request.service());
        let _door = turns.door.lock().await;
        if self.inner.shutdown.is_cancelled() {
            return Err(Refusal::new(RefusalKind::ShuttingDown, "the daemon is shutting down"));
        }
        let highest = self.check_sequence(&request).await?;
        let others = self.active_of(request.service());
        if let Some(id) = self.same(&request, &others).await? {
            self.accept_sequence(&request, highest).await?;
            return Ok(Submitted { deployment: id, attached: true });
        }
        // One of them may have ended while it was asked what it does.
        let others = self.active_of(request.service());
        let known: Vec<Other> = others.iter().map(|(id, other)| Other::of(*id, other)).collect();
        let stopped = way(&request, highest, &known)?;
        let id = self.open(&request, others.is_empty()).await?;
        // Not before the request is taken for certain: for one that is refused nothing is stopped.
        for (_, other) in others.iter().filter(|(id, _)| stopped.contains(id)) {
            self.supersede(other, &request.by);
        }
        Ok(Submitted { deployment: id, attached: false })
    }

    /// Put the deployment on record and let it begin when its turn comes.
    async fn open(&self, request: &Request, alone: bool) -> Result<DeploymentId, Refusal> {
        let id = self.next_id().await?;
        self.claim(request).await?;
        let entry = opening(request.clone(), self.inner.world.clock.now());
        let record = std::slice::from_ref(&entry.record);
        if let Err(error) = self.inner.world.journal.append(id, record).await {
            if alone {
                self.inner.world.leases.leave(request.service(), false).await;
            }
            return Err(error.into());
        }
        crate::deploy::failpoint::passed();
        let Some(state) = State::open(&entry) else {
            return Err(Refusal::new(RefusalKind::Internal, "the opening record is none"));
        };
        let feed = Feed::new(id, Vec::new(), self.inner.outlets.clone());
        let (step, what) = told(&entry.record);
        // Before anything that its runner says.
        feed.say(step, what);
        self.launch(id, state, &feed);
        Ok(id)
    }

    /// The deployment under way that does what `request` asks for.
    async fn same(
        &self,
        request: &Request,
        others: &[(DeploymentId, Active)],
    ) -> Result<Option<DeploymentId>, Refusal> {
        for (id, other) in others {
            if is_same(&*self.inner.world.swarm, request, other).await? {
                return Ok(Some(*id));
            }
        }
        Ok(None)
    }

    /// Have `other` stopped. Its queue is not waited for: it may be at an undo, in which it listens to
    /// nobody, and the service's door is closed meanwhile.
    fn supersede(&self, other: &Active, by: &str) {
        let message = format!("superseded by a newer deployment, asked for by {by}");
        let stop = Command::Stop { kind: FailureKind::Superseded, message };
        let commands = other.commands.clone();
        self.inner.tracker.spawn(async move {
            // A runner that is gone has ended: nothing to supersede.
            let _ = commands.send(stop).await;
        });
    }

    /// An id that sorts after all that there are, also when the wall clock has gone back since.
    async fn next_id(&self) -> Result<DeploymentId, Refusal> {
        let newest = self.inner.world.journal.recent(None, 1).await?;
        Ok(DeploymentId::after(newest.first().copied()))
    }

    /// A request that does not wait is refused while another daemon deploys the service. Other trouble
    /// with the lease is met again, and judged, by the steps that need it.
    async fn claim(&self, request: &Request) -> Result<(), Refusal> {
        if request.on_busy != OnBusy::Refuse {
            return Ok(());
        }
        match self.inner.world.leases.take(request.service()).await {
            Err(error) if error.trouble == Trouble::Superseded => Err(Refusal::from(error)
                .remedy("wait for it there, or use --on-busy wait: then it is waited for here")),
            _ => Ok(()),
        }
    }

    /// Refuse what is older than what was accepted; else the highest sequence that was.
    async fn check_sequence(&self, request: &Request) -> Result<Option<u64>, Refusal> {
        let Some(sequence) = request.sequence else { return Ok(None) };
        let highest = self.inner.world.journal.sequence(request.service()).await?;
        match highest {
            Some(highest) if sequence < highest => Err(Refusal::new(
                RefusalKind::OutOfSequence,
                format!("sequence {sequence} is older than {highest}, which was accepted already"),
            )),
            _ => Ok(highest),
        }
    }

    /// A request that attaches opens nothing, and what is older than it is out of sequence all the same.
    async fn accept_sequence(
        &self,
        request: &Request,
        highest: Option<u64>,
    ) -> Result<(), Refusal> {
        match request.sequence {
            Some(sequence) if highest < Some(sequence) => {
                Ok(self.inner.world.journal.accept(request.service(), sequence).await?)
            }
            _ => Ok(()),
        }
    }
}
