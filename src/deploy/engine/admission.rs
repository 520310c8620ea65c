use super::{Active, Engine, outside};
use crate::deploy::control::{Refusal, RefusalKind, Submitted};
use crate::deploy::ports::Trouble;
use crate::deploy::runner::{Command, opening};
use crate::deploy::saga::State;
use crate::deploy::view::told;
use crate::model::{DeploymentId, FailureKind, OnBusy, Request};

impl Engine {
    /// Take a request.
    pub async fn submit(&self, request: Request) -> Result<Submitted, Refusal> {
        if self.inner.shutdown.is_cancelled() {
            return Err(Refusal::new(RefusalKind::ShuttingDown, "the daemon is shutting down"));
        }
        let turns = self.turns(request.service());
        let _door = turns.door.lock().await;
        let others = self.active_of(request.service());
        let same = others.iter().find(|(_, other)| other.request.kind == request.kind);
        if let Some((id, _)) = same {
            return Ok(Submitted { deployment: *id, attached: true });
        }
        self.check_sequence(&request).await?;
        self.make_way(&request, &others).await?;
        self.claim(&request).await?;
        let id = self.next_id().await?;
        let service = request.service().clone();
        let entry = opening(request, self.inner.world.clock.now());
        if let Err(error) =
            self.inner.world.journal.append(id, std::slice::from_ref(&entry.record)).await
        {
            if others.is_empty() {
                self.inner.world.leases.leave(&service, false).await;
            }
            return Err(error.into());
        }
        crate::deploy::failpoint::passed();
        let Some(state) = State::open(&entry) else {
            return Err(Refusal::new(RefusalKind::Internal, "the opening record is none"));
        };
        let feed = self.launch(id, state, Vec::new());
        let (step, what) = told(&entry.record);
        feed.say(step, what);
        Ok(Submitted { deployment: id, attached: false })
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

    async fn check_sequence(&self, request: &Request) -> Result<(), Refusal> {
        let Some(sequence) = request.sequence else { return Ok(()) };
        let highest = self.inner.world.journal.sequence(request.service()).await?;
        match highest {
            Some(highest) if sequence < highest => Err(Refusal::new(
                RefusalKind::OutOfSequence,
                format!("sequence {sequence} is older than {highest}, which was accepted already"),
            )),
            _ => Ok(()),
        }
    }

    /// Deal with the deployments of the service that are under way.
    async fn make_way(
        &self,
        request: &Request,
        others: &[(DeploymentId, Active)],
    ) -> Result<(), Refusal> {
        let Some((first, _)) = others.first() else { return Ok(()) };
        for (id, other) in others {
            let newer =
                request.sequence > other.request.sequence && other.request.sequence.is_some();
            if newer || request.on_busy == OnBusy::Supersede {
                let message =
                    format!("superseded by a newer deployment, asked for by {}", request.by);
                let failure = outside(FailureKind::Superseded, message);
                // A runner that is gone has ended: nothing to supersede.
                let _ = other.commands.send(Command::Stop(failure)).await;
            } else if request.on_busy == OnBusy::Refuse {
                let service = request.service();
                let refusal = Refusal::new(
                    RefusalKind::Busy,
                    format!("deployment {id} of `{service}` is under way"),
                );
                return Err(Refusal {
                    deployment: Some(*first),
                    remedy: Some(format!(
                        "wait for it (`verdigris logs {id} --follow`), or use --on-busy wait or supersede"
                    )),
                    ..refusal
                });
            }
        }
        Ok(())
    }
}
