//! The daemon as its API sees it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use super::adapters::{Adapters, RegistryKind};
use super::status;
use crate::deploy::control::{
    Control, Finding, Refusal, RefusalKind, Rendered, Severity, Submitted,
};
use crate::deploy::engine::Engine;
use crate::deploy::ports::{PortError, PortResult, SwarmSnapshot, Trouble};
use crate::discovery::Reconciler;
use crate::model::{
    Colour, DeploymentId, DeploymentView, Event, Plan, Request, ServiceName, ServiceRecord, Status,
};
use crate::swarm;

/// The status is not kept longer by a Swarm that does not answer: who asks wants to know that.
const PATIENCE: Duration = Duration::from_secs(3);

/// The engine and what stands around it.
pub struct Daemon {
    adapters: Adapters,
    engine: Engine,
    reconciler: Arc<Reconciler>,
}

impl Daemon {
    pub fn new(adapters: Adapters, engine: Engine, reconciler: Arc<Reconciler>) -> Self {
        Self { adapters, engine, reconciler }
    }

    /// What is wrong with the daemon's surroundings, one line each.
    async fn problems(&self) -> Vec<String> {
        let mut problems = self.engine.problems();
        problems.extend(self.adapters.store.problems().await);
        if let RegistryKind::Embedded(registry) = &self.adapters.registry {
            problems.extend(registry.problems());
        }
        problems.extend(self.reconciler.problem());
        problems
    }

    /// What is on record, of one service or of all.
    async fn records(
        &self,
        service: Option<&ServiceName>,
    ) -> PortResult<BTreeMap<ServiceName, ServiceRecord>> {
        let registry = &self.adapters.world.registry;
        match service {
            Some(service) => Ok([(service.clone(), registry.read(service).await?)].into()),
            None => registry.read_all().await,
        }
    }

    /// The Swarm services of all colours.
    async fn colours(&self) -> PortResult<Vec<(ServiceName, Colour, SwarmSnapshot)>> {
        let services = self.adapters.world.swarm.services();
        tokio::time::timeout(PATIENCE, services).await.unwrap_or_else(|_| {
            let error = PortError::new(Trouble::Unreachable, "list Swarm services");
            Err(error.because(format!("no answer within {} s", PATIENCE.as_secs())))
        })
    }

    async fn registry_findings(&self) -> Vec<Finding> {
        match &self.adapters.registry {
            RegistryKind::Consul(registry) => registry.findings().await,
            RegistryKind::Embedded(_) => vec![Finding {
                subject: "registry".to_owned(),
                severity: Severity::Good,
                message: "embedded, in the state directory".to_owned(),
                remedy: None,
            }],
        }
    }
}

#[async_trait]
impl Control for Daemon {
    async fn submit(&self, request: Request) -> Result<Submitted, Refusal> {
        self.engine.submit(request).await
    }

    async fn plan(&self, request: Request) -> Result<Plan, Refusal> {
        self.engine.plan(&request).await
    }

    async fn abort(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        self.engine.abort(id, by, why).await
    }

    async fn approve(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        self.engine.approve(id, by).await
    }

    async fn reject(&self, id: DeploymentId, by: &str, why: &str) -> Result<(), Refusal> {
        self.engine.reject(id, by, why).await
    }

    async fn retry(&self, id: DeploymentId, by: &str) -> Result<(), Refusal> {
        self.engine.retry(id, by).await
    }

    async fn deployment(&self, id: DeploymentId) -> Result<DeploymentView, Refusal> {
        self.engine.deployment(id).await
    }

    async fn history(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        self.engine.history(service, limit).await
    }

    async fn committed(
        &self,
        service: &ServiceName,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, Refusal> {
        self.engine.committed(service, limit).await
    }

    async fn stuck(&self) -> Result<Vec<DeploymentView>, Refusal> {
        self.engine.stuck().await
    }

    async fn events(&self, id: DeploymentId) -> Result<Vec<Event>, Refusal> {
        self.engine.events(id).await
    }

    async fn follow(
        &self,
        id: DeploymentId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Event>, Refusal> {
        self.engine.follow(id, after).await
    }

    fn watch(&self) -> BoxStream<'static, Event> {
        self.engine.watch()
    }

    fn news(&self) -> BoxStream<'static, Event> {
        self.engine.news()
    }

    async fn status(&self, service: Option<&ServiceName>) -> Result<Status, Refusal> {
        let (records, colours) = tokio::join!(self.records(service), self.colours());
        let mut problems = self.problems().await;
        let colours = colours.unwrap_or_else(|error| {
            status::add_problem(&mut problems, error.chain());
            Vec::new()
        });
        let (records, registry) = match records {
            Ok(records) => (records, None),
            Err(error) => {
                status::add_problem(&mut problems, error.chain());
                (status::led(self.adapters.fleet.views()), Some(error))
            }
        };
        let mut services = status::services(records, &colours, service, &self.engine).await?;
        if let Some(service) = service
            && services.is_empty()
        {
            // It may be on record.
            return Err(registry.map_or_else(|| status::unknown(service), Refusal::from));
        }
        for status in &mut services {
            status.drift = self.reconciler.drift(&status.service);
            status.mended = self.reconciler.mended(&status.service);
        }
        let proxies = self.adapters.fleet.status();
        let registry = registry.map(|error| error.chain());
        Ok(Status { services, proxies, problems, registry })
    }

    async fn render(&self, proxy: &str) -> Result<Rendered, Refusal> {
        self.adapters.fleet.render(proxy).await.ok_or_else(|| {
            let known: Vec<String> =
                self.adapters.fleet.status().into_iter().map(|proxy| proxy.name).collect();
            Refusal {
                kind: RefusalKind::Unknown,
                message: format!("there is no proxy `{proxy}`"),
                details: Vec::new(),
                remedy: Some(format!("the configuration has: {}", known.join(", "))),
                deployment: None,
            }
        })
    }

    async fn doctor(&self) -> Vec<Finding> {
        let (engine, ci, registry, proxies, problems) = tokio::join!(
            self.adapters.swarm.examine(),
            swarm::engine(&self.adapters.ci, "ci engine"),
            self.registry_findings(),
            self.adapters.fleet.findings(),
            self.problems(),
        );
        let problems = problems.into_iter().map(|message| Finding {
            subject: "daemon".to_owned(),
            severity: Severity::Bad,
            message,
            remedy: None,
        });
        engine.into_iter().chain([ci]).chain(registry).chain(proxies).chain(problems).collect()
    }
}
