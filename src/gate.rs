//! Gates: container, http and command.
//!
//! All three are told the same facts (`environment`), are bound by the gate's timeout and by `stop`,
//! and leave nothing behind whichever way they end.

mod command;
mod container;
mod environment;
#[cfg(test)]
mod fixture;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod junit;

use std::collections::BTreeSet;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::deploy::ports::{GateContext, GateError, Gates, JunitFile, Output, PortResult};
use crate::docker::Client;
use crate::model::{Check, DeploymentId, Gate, labels};

/// Runs gates: containers on the CI engine, requests and commands where the daemon runs.
pub struct GateRunner {
    ci: Client,
}

impl GateRunner {
    /// Test containers run on the engine behind `ci`.
    #[must_use]
    pub fn new(ci: Client) -> Self {
        Self { ci }
    }
}

#[async_trait]
impl Gates for GateRunner {
    async fn run(
        &self,
        gate: &Gate,
        context: &GateContext,
        output: Output<'_>,
        stop: &CancellationToken,
    ) -> Result<Vec<JunitFile>, GateError> {
        let bounds = Bounds { timeout: gate.timeout, stop };
        match &gate.check {
            Check::Container(check) => {
                Box::pin(container::run(&self.ci, &gate.name, check, context, output, &bounds))
                    .await
            }
            Check::Http(check) => {
                let asked = bounds.hold(http::run(check, context, output)).await;
                asked?.map(|()| Vec::new())
            }
            Check::Command(check) => command::run(check, context, output, &bounds).await,
        }
    }

    async fn clean(&self, deployment: DeploymentId) -> PortResult<()> {
        let ours = format!("{}={}", labels::MANAGED_BY, labels::VERDIGRIS);
        let of_it = format!("{}={deployment}", labels::DEPLOYMENT);
        let operation = format!("remove the test containers of deployment `{deployment}`");
        // A label that only test containers have: tasks of a colour bear the others, too.
        let found = self.ci.containers(&[&ours, &of_it, labels::GATE]).await;
        for container in found.map_err(|error| error.during(&operation))? {
            container.remove().await.map_err(|error| error.during(&operation))?;
        }
        Ok(())
    }

    async fn left(&self) -> PortResult<BTreeSet<DeploymentId>> {
        let ours = format!("{}={}", labels::MANAGED_BY, labels::VERDIGRIS);
        let found = self.ci.labelled(&[&ours, labels::GATE], labels::DEPLOYMENT).await;
        let found = found.map_err(|error| error.during("list test containers"))?;
        Ok(found.iter().filter_map(|id| id.parse().ok()).collect())
    }
}

/// What ends a gate that does not end by itself.
struct Bounds<'a> {
    timeout: std::time::Duration,
    stop: &'a CancellationToken,
}

impl Bounds<'_> {
    /// `work`, as long as nothing ends it.
    async fn hold<T>(&self, work: impl Future<Output = T>) -> Result<T, GateError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(failed("stopped")),
            held = tokio::time::timeout(self.timeout, work) => {
                held.map_err(|_| GateError::TimedOut(self.timeout))
            }
        }
    }
}

fn failed(reason: impl Into<String>) -> GateError {
    GateError::Failed { reason: reason.into(), junit: Vec::new() }
}
