//! Gates: they pass, fail, hang, and lie.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use verdigris::deploy::ports::{GateContext, GateError, Gates, JunitFile, Output, PortResult};
use verdigris::model::{DeploymentId, Gate};

use super::Sim;

/// How a gate ends; the word stands in its name.
enum Manner {
    Passes,
    Fails,
    /// It answers when it is told to stop, or its time is over.
    Hangs,
    /// It answers long after it was told to stop, and that it has passed.
    AnswersLate,
    /// It passes when it sees that an instance has come in the place of another.
    Looks,
}

impl Manner {
    fn of(gate: &Gate) -> Self {
        match gate.name.as_str() {
            name if name.contains("fail") => Self::Fails,
            name if name.contains("hang") => Self::Hangs,
            name if name.contains("late") => Self::AnswersLate,
            name if name.contains("look") => Self::Looks,
            _ => Self::Passes,
        }
    }
}

impl Sim {
    /// What the gate says, when it says something.
    async fn judge(
        &self,
        gate: &Gate,
        context: &GateContext,
        stop: &CancellationToken,
    ) -> Result<(), GateError> {
        let manner = Manner::of(gate);
        if let Manner::Looks = manner {
            let looks = tokio::time::timeout(gate.timeout, self.look(context)).await;
            return looks.map_err(|_| GateError::TimedOut(gate.timeout))?;
        }
        if let Manner::Passes | Manner::Fails = manner {
            let passes = matches!(manner, Manner::Passes);
            return if passes { Ok(()) } else { Err(said_no("exit code 1")) };
        }
        let stopped = tokio::time::timeout(gate.timeout, stop.cancelled()).await.is_ok();
        if !stopped {
            return Err(GateError::TimedOut(gate.timeout));
        }
        if let Manner::Hangs = manner {
            return Err(said_no("stopped"));
        }
        let wait = self.truth().rng.u64(1..20_000);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        Ok(())
    }
}

impl Sim {
    /// Wait until the instances are others than the gate was told at its start, and as Swarm runs them.
    async fn look(&self, context: &GateContext) -> Result<(), GateError> {
        let name = context.release.service.swarm_name(context.colour);
        loop {
            let seen = context.sight.instances().await?;
            let tasks: BTreeSet<String> = seen.iter().map(|one| one.task.clone()).collect();
            let new = seen.iter().any(|one| !context.instances.contains(one));
            if new && tasks == self.truth().serving(&name) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A gate at work; not any more once it has answered, or nobody waits for it.
struct Runs {
    sim: Sim,
    deployment: DeploymentId,
}

impl Runs {
    fn begin(sim: &Sim, deployment: DeploymentId) -> Self {
        *sim.truth().gates.entry(deployment).or_default() += 1;
        Self { sim: sim.clone(), deployment }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let mut truth = self.sim.truth();
        // Those of a life that was ended are not counted any more.
        if self.sim.life == truth.life
            && let Some(running) = truth.gates.get_mut(&self.deployment)
        {
            *running -= 1;
        }
    }
}

fn said_no(reason: &str) -> GateError {
    GateError::Failed { reason: reason.to_owned(), junit: Vec::new() }
}

#[async_trait]
impl Gates for Sim {
    async fn run(
        &self,
        gate: &Gate,
        context: &GateContext,
        output: Output<'_>,
        stop: &CancellationToken,
    ) -> Result<Vec<JunitFile>, GateError> {
        let id = context.deployment;
        self.act("run a gate", |truth| {
            *truth.containers.entry(id).or_default() += 1;
            Ok(())
        })
        .await?;
        output("testing");
        let _runs = Runs::begin(self, id);
        let verdict = self.judge(gate, context, stop).await;
        self.act("remove a gate", |truth| {
            truth.containers.remove(&id);
            Ok(())
        })
        .await?;
        verdict.map(|()| Vec::new())
    }

    async fn left(&self) -> PortResult<BTreeSet<DeploymentId>> {
        self.act("list test containers", |truth| Ok(truth.containers.keys().copied().collect()))
            .await
    }

    async fn clean(&self, deployment: DeploymentId) -> PortResult<()> {
        self.act("clean gates", |truth| {
            truth.containers.remove(&deployment);
            Ok(())
        })
        .await
    }
}
