use super::{Active, Engine, lock};
use crate::deploy::control::{Refusal, RefusalKind};
use crate::deploy::runner::Command;
use crate::model::{DeploymentId, FailureKind};

impl Engine {
    /// Stop a deployment that has not begun to commit, and revert it.
    pub async fn abort(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        self.stop(id, FailureKind::Aborted, because("aborted", by, why)).await
    }

    /// Revert a deployment that waits for approval.
    pub async fn reject(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        self.must_wait(id).await?;
        self.stop(id, FailureKind::Approval, because("rejected", by, why)).await
    }

    /// Let a deployment that waits for approval go on.
    pub async fn approve(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        let active = self.must_wait(id).await?;
        self.tell(id, &active, Command::Approve(by.to_owned())).await
    }

    /// Take up a stuck deployment again.
    pub async fn retry(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        let active = self.must_be_active(id).await?;
        if !active.standing.borrow().stuck {
            return Err(wrong_state(id, "is not stuck"));
        }
        self.tell(id, &active, Command::Retry(by.to_owned())).await
    }

    async fn stop(
        &self,
        id: DeploymentId,
        kind: FailureKind,
        message: String,
    ) -> Result<(), Refusal> {
        let active = self.must_be_active(id).await?;
        let standing = active.standing.borrow().clone();
        if standing.reverting {
            return Ok(());
        }
        if standing.past_stopping {
            return Err(wrong_state(id, "has committed: use `verdigris rollback` to go back"));
        }
        self.tell(id, &active, Command::Stop { kind, message }).await
    }

    async fn must_wait(&self, id: DeploymentId) -> Result<Active, Refusal> {
        let active = self.must_be_active(id).await?;
        if active.standing.borrow().waiting {
            Ok(active)
        } else {
            Err(wrong_state(id, "does not wait for approval"))
        }
    }

    async fn must_be_active(&self, id: DeploymentId) -> Result<Active, Refusal> {
        if let Some(active) = lock(&self.inner.active).get(&id).cloned() {
            return Ok(active);
        }
        // Says that it is unknown, if it is.
        self.deployment(id).await?;
        Err(wrong_state(id, "has ended"))
    }

    async fn tell(
        &self,
        id: DeploymentId,
        active: &Active,
        command: Command,
    ) -> Result<(), Refusal> {
        active.commands.send(command).await.map_err(|_| wrong_state(id, "has just ended"))
    }
}

fn because(what: &str, by: &str, why: &str) -> String {
    let reason = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("{what} by {by}{reason}")
}

fn wrong_state(id: DeploymentId, what: &str) -> Refusal {
    let refusal = Refusal::new(RefusalKind::WrongState, format!("deployment {id} {what}"));
    Refusal { deployment: Some(id), ..refusal }
}
