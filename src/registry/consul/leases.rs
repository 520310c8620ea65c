use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex as AsyncMutex;

use super::Consul;
use super::lease::{Lease, Session};
use crate::deploy::ports::{Leases, PortResult, Tenure};
use crate::model::ServiceName;

/// Between two tries to give back a lease while Consul is away.
const AGAIN: Duration = Duration::from_secs(5);

/// The leases of one daemon, under one session that is opened when it is first needed, and anew when
/// it was lost.
pub struct ConsulLeases {
    consul: Arc<Consul>,
    holder: String,
    session: AsyncMutex<Option<Arc<Session>>>,
    held: Mutex<BTreeMap<ServiceName, Place>>,
}

/// Where the lease on one service is kept. It is locked while the lease is taken or given back: steps
/// that run side by side would each take one, and the first to be dropped takes the fence away.
type Place = Arc<AsyncMutex<Option<Arc<Lease>>>>;

impl ConsulLeases {
    /// Those of the daemon `holder`: a name that no other daemon has, and that this one keeps over
    /// restarts. Does not connect.
    #[must_use]
    pub fn new(consul: Arc<Consul>, holder: String) -> Self {
        Self { consul, holder, session: AsyncMutex::default(), held: Mutex::default() }
    }

    async fn session(&self) -> PortResult<Arc<Session>> {
        let mut place = self.session.lock().await;
        match &*place {
            Some(session) if session.lives() => Ok(Arc::clone(session)),
            _ => {
                let session = Arc::new(self.consul.session(&self.holder).await?);
                *place = Some(Arc::clone(&session));
                Ok(session)
            }
        }
    }

    fn place(&self, service: &ServiceName) -> Place {
        Arc::clone(self.lock().entry(service.clone()).or_default())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Place>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Leases for ConsulLeases {
    async fn take(&self, service: &ServiceName) -> PortResult<Tenure> {
        let place = self.place(service);
        let mut held = place.lock().await;
        let session = self.session().await?;
        if let Some(lease) = held.as_ref().filter(|lease| lease.is_of(&session)) {
            return Ok(lease.tenure());
        }
        // The fence of a lease that was lost stands until the new one does.
        let had = held.as_ref().map(|lease| lease.tenure()).unwrap_or_default();
        let lease = session.lease_again(service, had).await?;
        let tenure = lease.tenure();
        *held = Some(Arc::new(lease));
        Ok(tenure)
    }

    async fn leave(&self, service: &ServiceName, unfinished: bool) {
        let place = self.place(service);
        // Whoever takes it next waits until it is given back: else it would lose what it has just taken.
        let mut held = place.lock().await;
        let Some(lease) = held.take() else { return };
        let Err(error) = lease.release(unfinished).await else { return };
        drop(held);
        tracing::warn!(error = error.chain(), "the lease is given back later");
        let session = self.session.lock().await.clone();
        let Some(session) = session.filter(|session| lease.is_of(session)) else { return };
        let session = Arc::downgrade(&session);
        // It is lost with the session at the latest.
        tokio::spawn(async move {
            while session.upgrade().is_some_and(|session| session.lives()) {
                tokio::time::sleep(AGAIN).await;
                let held = place.lock().await;
                if held.is_some() || lease.release(unfinished).await.is_ok() {
                    return;
                }
            }
        });
    }

    async fn left(&self) -> PortResult<Vec<ServiceName>> {
        let mut ours = self.consul.left_by(&self.holder).await?;
        let held = self.lock();
        // A place that is busy is one whose lease is being taken.
        let is_held = |place: &Place| place.try_lock().map_or(true, |lease| lease.is_some());
        ours.retain(|service| !held.get(service).is_some_and(is_held));
        Ok(ours)
    }

    async fn rival(&self, service: &ServiceName) -> PortResult<Option<String>> {
        let holder = self.consul.holder(service).await?;
        Ok(holder.filter(|holder| *holder != self.holder))
    }
}
