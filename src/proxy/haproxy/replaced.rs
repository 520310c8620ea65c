//! Processes that were replaced by a reload and finish what they have.
//!
//! `HAProxy` refuses to change the servers of such a process, so it keeps those that it had. A client
//! that still has a connection to it is promised one more answer: of the colour that is live where the
//! process has its instances, else of the one that was. That one must not go before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::sockets::Process;
use super::{Haproxy, Wanted, maps, servers, stats};
use crate::model::ServiceName;
use crate::proxy::error::Result;

impl Haproxy {
    /// Make the map of `process` equal to `lines`, as far as it can serve what they lead to.
    pub(super) async fn route_replaced(
        &self,
        process: &Process,
        lines: &BTreeMap<String, String>,
        wanted: &Wanted,
    ) -> Result<()> {
        let fit = servers::fit(&self.sockets, process, wanted).await?;
        let now = maps::read(&self.sockets, process, &self.map).await?;
        let lines = maps::fitting(lines, &now, &fit);
        maps::agree(&self.sockets, process, &self.map, &lines).await
    }

    /// Whether `process` has `instances` as `backend`, so that requests can be led there.
    pub(super) async fn follows(
        &self,
        process: &Process,
        backend: &str,
        instances: &BTreeSet<SocketAddr>,
    ) -> Result<bool> {
        let served = servers::served_by(&self.sockets, process, backend).await?;
        let follows = servers::is_fit(&served, instances);
        if !follows {
            tracing::debug!(pid = process.pid, backend, "a replaced process stays where it is");
        }
        Ok(follows)
    }

    /// Whether `process` would lead a request for `service` that may come yet to one of `instances`, as
    /// `backend`.
    pub(super) async fn may_lead(
        &self,
        process: &Process,
        service: &ServiceName,
        backend: &str,
        instances: &BTreeSet<SocketAddr>,
    ) -> Result<bool> {
        let live = maps::live(&self.sockets, process, &self.map, service).await?;
        if live.as_deref() != Some(backend) {
            return Ok(false);
        }
        let served = servers::served_by(&self.sockets, process, backend).await?;
        Ok(!served.is_disjoint(instances) && stats::idle(&self.sockets, process).await? > 0)
    }
}
