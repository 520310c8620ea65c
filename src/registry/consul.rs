//! The registry in Consul.
//!
//! Instances are services of the catalog, so that `live.books-ms.service.consul` resolves; the bare
//! colour and the route document are keys. All that a step changes (instances and their tags, colour,
//! route) is one transaction of Consul: nobody ever sees half of it.
//!
//! Instances stand under a node of their own (`verdigris`), which Consul calls an external node, and
//! not under the agent that the daemon talks to: that agent's death would take every instance of the
//! Swarm out of the service DNS, its anti-entropy could undo what was written, and a second agent
//! could not take over. They carry no health check for the same reason: an instance is registered
//! while the daemon observes it healthy where it runs, and a check run by some agent would judge from
//! another place.
//!
//! With ACLs the token needs, for the prefix `verdigris`:
//!
//! ```hcl
//! key_prefix "verdigris/" { policy = "write" }
//! node "verdigris"        { policy = "write" }
//! service_prefix ""       { policy = "write" }
//! session_prefix ""       { policy = "write" }
//! ```

mod client;
mod diff;
mod doctor;
mod error;
mod fence;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod layout;
mod lease;
mod leases;
mod settings;
mod token;
mod txn;
mod watch;

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::deploy::ports::{Change, PortError, PortResult, Registry, Trouble};
use crate::model::{ServiceName, ServiceRecord};
use client::Client;
use diff::Diff;
use error::CallError;
use fence::Fences;
use image::{Held, Image, Listed, Member, Pair};
use layout::Layout;
use txn::Operation;

pub use lease::{Lease, Session};
pub use leases::ConsulLeases;
pub use settings::{Settings, SettingsError};

/// How often a write starts over when somebody else changes the same keys at the same time. The
/// daemon is the only regular writer; who meets four others in a row has another daemon beside it.
const ATTEMPTS: usize = 4;

/// The registry in Consul.
pub struct Consul {
    client: Client,
    layout: Layout,
    fences: Fences,
}

impl Consul {
    /// By these settings. Reads the files that they name; does not connect.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            client: Client::new(settings)?,
            layout: Layout::new(&settings.prefix)?,
            fences: Fences::default(),
        })
    }

    fn failed(&self, error: CallError, operation: String) -> PortError {
        error.port(operation, &self.client, &self.layout)
    }

    /// What stands under the service's name and is ours. The keys are asked for one by one: without
    /// the right to read them Consul then says so, where a listing would come back empty.
    async fn held(&self, service: &ServiceName) -> Result<Held, CallError> {
        let (colour, route) = (self.layout.colour(service), self.layout.route(service));
        let health = format!("health/service/{service}");
        let (members, colour, route) = tokio::try_join!(
            self.client.get_consistent::<Vec<Member>>(&health, &[]),
            self.client.key(&colour),
            self.client.key(&route),
        )?;
        let entries = members.value.unwrap_or_default().into_iter();
        let entries = entries
            .filter(|member| member.node.node == self.layout.node())
            .map(|member| member.service);
        Ok(Held::new(entries, colour.into_iter().chain(route)))
    }

    /// Whether listings can be believed: they leave out silently what the token may not read.
    async fn may_list(&self) -> Result<(), CallError> {
        self.client.key(self.layout.services()).await.map(drop)
    }

    /// Everything that is ours.
    async fn everything(&self) -> Result<BTreeMap<ServiceName, Image>, CallError> {
        let node = format!("catalog/node/{}", self.layout.node());
        let keys = format!("kv/{}", self.layout.services());
        let (listed, keys, ()) = tokio::try_join!(
            self.client.get_consistent::<Option<Listed>>(&node, &[]),
            self.client.get_consistent::<Vec<Pair>>(&keys, &[("recurse", "")]),
            self.may_list(),
        )?;
        let entries = listed.value.flatten().map(|listed| listed.services);
        let entries = entries.into_iter().flatten().map(|(_, entry)| entry);
        Ok(image::by_service(&self.layout, entries, keys.value.unwrap_or_default()))
    }

    /// What stands under the service's name, and what that means.
    async fn look(&self, service: &ServiceName) -> PortResult<(Held, ServiceRecord)> {
        let operation = format!("read service `{service}` from Consul");
        let held =
            self.held(service).await.map_err(|error| self.failed(error, operation.clone()))?;
        let record = held.image.decode(&self.layout, service).map_err(|error| {
            PortError::new(Trouble::Invalid, operation)
                .remedy(format!(
                    "put the previous value of the key back (`consul kv put {0} …`), or delete it: it \
                     is made anew from what runs",
                    error.key
                ))
                .because(error)
        })?;
        Ok((held, record))
    }

    fn encode(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<Image> {
        let encoded = Image::encode(&self.layout, service, record);
        encoded.map_err(|error| PortError::new(Trouble::Invalid, writing(service)).because(error))
    }

    async fn put(
        &self,
        service: &ServiceName,
        read: Option<&ServiceRecord>,
        record: &ServiceRecord,
    ) -> PortResult<()> {
        let wanted = self.encode(service, record)?;
        let written = self.make_equal(service, read, &wanted).await;
        written.map_err(|error| self.failed(error, writing(service)))
    }

    /// Write what differs, if `read` is held still. Somebody else's change of a key meanwhile makes it
    /// start over.
    async fn make_equal(
        &self,
        service: &ServiceName,
        read: Option<&ServiceRecord>,
        wanted: &Image,
    ) -> Result<(), CallError> {
        let fence = self.fences.of(&self.layout, service);
        let mut attempt = 1;
        loop {
            let held = self.held(service).await?;
            let mut guards: Vec<Operation> = fence.iter().cloned().collect();
            let diff = Diff::between(&held.image, wanted);
            if let Some(read) = read {
                if !self.holds(service, &held, read) {
                    return Err(CallError::Changed);
                }
                guards.extend(self.unchanged(service, &held, &diff));
            }
            match self.commit(service, &diff, &held, &guards).await {
                Err(error) if error.is_stale() && attempt < ATTEMPTS => attempt += 1,
                done => return done,
            }
        }
    }

    /// Write what `wanted` has otherwise than what is `held`, under `fence`.
    async fn put_fenced(
        &self,
        service: &ServiceName,
        fence: Operation,
        held: &Held,
        wanted: &Image,
    ) -> Result<(), CallError> {
        let diff = Diff::between(&held.image, wanted);
        let mut guards = vec![fence];
        guards.extend(self.unchanged(service, held, &diff));
        self.commit(service, &diff, held, &guards).await
    }

    /// A fence did not hold: another daemon has the service or had it, unless Consul has lost the session
    /// by itself. Then nothing has happened that a lease taken anew does not put right.
    async fn why_fenced(&self, service: &ServiceName, error: CallError) -> CallError {
        match self.client.key(&self.layout.lock(service)).await {
            Ok(found) if self.fences.give_up(service, found.as_ref()) => CallError::SessionLost,
            Ok(_) => error,
            // It is not known: to be found out when the lease is taken again.
            Err(error) => error,
        }
    }

    fn holds(&self, service: &ServiceName, held: &Held, read: &ServiceRecord) -> bool {
        held.image.decode(&self.layout, service).is_ok_and(|record| record == *read)
    }

    /// That the keys which `diff` does not set are as they are `held`: every commit changes both. Also those
    /// that it unsets, since Consul takes unsetting what is gone already for done.
    fn unchanged(&self, service: &ServiceName, held: &Held, diff: &Diff) -> Vec<Operation> {
        let keys = [self.layout.colour(service), self.layout.route(service)].into_iter();
        let rest = keys.filter(|key| !diff.set.contains_key(key));
        rest.map(|key| match held.indices.get(&key) {
            Some(index) => Operation::check(&key, *index),
            None => Operation::check_none(&key),
        })
        .collect()
    }

    async fn commit(
        &self,
        service: &ServiceName,
        diff: &Diff,
        held: &Held,
        guards: &[Operation],
    ) -> Result<(), CallError> {
        let mut transactions = txn::transactions(&self.layout, diff, &held.indices, guards);
        if transactions.is_empty() && !guards.is_empty() {
            transactions.push(guards.to_vec());
        }
        for transaction in transactions {
            match txn::run(&self.client, &transaction).await {
                Err(error) if error.is_fenced() => {
                    return Err(self.why_fenced(service, error).await);
                }
                done => done?,
            };
        }
        Ok(())
    }
}

fn writing(service: &ServiceName) -> String {
    format!("write service `{service}` to Consul")
}

#[async_trait]
impl Registry for Consul {
    async fn read(&self, service: &ServiceName) -> PortResult<ServiceRecord> {
        self.look(service).await.map(|(_, record)| record)
    }

    /// A service with a key that cannot be read is left out, as if it were not recorded.
    async fn read_all(&self) -> PortResult<BTreeMap<ServiceName, ServiceRecord>> {
        let images = self
            .everything()
            .await
            .map_err(|error| self.failed(error, "read the registry in Consul".to_owned()))?;
        let decoded = images.into_iter().filter_map(|(service, image)| {
            let record = image
                .decode(&self.layout, &service)
                .inspect_err(|error| tracing::warn!(%service, %error, "not understood in Consul"));
            Some((service, record.ok()?))
        });
        Ok(decoded.filter(|(_, record)| !record.is_empty()).collect())
    }

    async fn write(&self, service: &ServiceName, record: &ServiceRecord) -> PortResult<()> {
        self.put(service, None, record).await
    }

    async fn replace(
        &self,
        service: &ServiceName,
        read: &ServiceRecord,
        record: &ServiceRecord,
    ) -> PortResult<()> {
        self.put(service, Some(read), record).await
    }

    /// Under the lease it is read once: while the fence holds nobody else deploys the service, so that
    /// what is read of its instances and its keys side by side belongs together.
    async fn update(
        &self,
        service: &ServiceName,
        change: &Change<'_>,
    ) -> PortResult<ServiceRecord> {
        let fence = self.fences.of(&self.layout, service);
        let (held, old) = self.look(service).await?;
        let mut new = old.clone();
        change(&mut new);
        let Some(fence) = fence else {
            self.put(service, Some(&old), &new).await?;
            return Ok(new);
        };
        let wanted = self.encode(service, &new)?;
        let written = self.put_fenced(service, fence, &held, &wanted).await;
        written.map_err(|error| self.failed(error, writing(service)))?;
        Ok(new)
    }

    async fn changes(&self) -> PortResult<BoxStream<'static, ()>> {
        let operation = || "watch the registry in Consul".to_owned();
        self.may_list().await.map_err(|error| self.failed(error, operation()))?;
        watch::changes(&self.client, &self.layout)
            .await
            .map_err(|error| self.failed(error, operation()))
    }
}

#[cfg(test)]
mod tests;
