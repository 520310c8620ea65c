//! Leases: of several daemons on one Consul, one is responsible for a service at a time.
//!
//! A daemon opens a [`Session`], which Consul forgets when it is not renewed; a [`Lease`] locks a key
//! for it. While a lease is held every write of its service is fenced: the transaction checks that the
//! session still has the lock, so a daemon that was away for too long cannot write any more, whatever
//! it believes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Consul;
use super::client::{Answer, Client};
use super::error::CallError;
use super::layout::Layout;
use super::txn::{self, Operation};
use crate::deploy::ports::{PortError, PortResult, Trouble};
use crate::model::ServiceName;

/// A session that is not renewed for so long is lost. Consul keeps it for up to twice that, never for
/// less.
const TTL: Duration = Duration::from_secs(15);

/// Three renewals within the time, so that two may fail.
const RENEWAL: Duration = Duration::from_secs(5);

/// A daemon's session in Consul. When it is dropped the leases stay until the session expires; see
/// [`Session::end`].
pub struct Session {
    client: Client,
    layout: Layout,
    fences: Fences,
    id: String,
    holder: String,
    lost: CancellationToken,
    renewing: JoinHandle<()>,
}

/// The right to be the one that changes a service. See [`Lease::release`].
pub struct Lease {
    client: Client,
    key: String,
    session: String,
    service: ServiceName,
    fences: Fences,
    index: u64,
}

impl Consul {
    /// Open a session as `holder`, a name that no other daemon has and that this one keeps over
    /// restarts: leases of the same holder's earlier session are taken over at once.
    pub async fn session(&self, holder: &str) -> PortResult<Session> {
        let begun = Instant::now();
        let created: Result<Answer<Created>, CallError> =
            self.client.put("session/create", &Creation::of(holder)).await;
        let created = created.and_then(|answer| answer.value.ok_or_else(no_session));
        let operation = || "open a session in Consul".to_owned();
        let id = created.map_err(|error| self.failed(error, operation()))?.id;
        let lost = CancellationToken::new();
        let renewing = renew(self.client.clone(), id.clone(), begun, lost.clone());
        Ok(Session {
            client: self.client.clone(),
            layout: self.layout.clone(),
            fences: self.fences.clone(),
            id,
            holder: holder.to_owned(),
            lost,
            renewing: tokio::spawn(renewing),
        })
    }
}

impl Session {
    /// Take the lease on `service`. A conflict when another daemon has it; its name is in the error.
    pub async fn lease(&self, service: &ServiceName) -> PortResult<Lease> {
        let operation = || format!("take the lease on service `{service}`");
        let key = self.layout.lock(service);
        let taken = match self.lock(&key).await {
            Err(error) if error.is_held() => match self.predecessor(&key).await {
                Ok(Some(other)) => {
                    let held = format!("daemon `{other}` has it");
                    return Err(PortError::new(Trouble::Conflict, operation()).because(held));
                }
                Ok(None) => self.lock(&key).await,
                Err(error) => Err(error),
            },
            taken => taken,
        };
        let index = taken.map_err(|error| error.port(operation(), &self.client, &self.layout))?;
        self.fences.put(service, &self.id);
        Ok(Lease {
            client: self.client.clone(),
            key,
            session: self.id.clone(),
            service: service.clone(),
            fences: self.fences.clone(),
            index,
        })
    }

    /// Fires when the session is lost, and all leases with it: stop acting.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Close the session: its leases are free at once.
    pub async fn end(self) -> PortResult<()> {
        let ended = destroy(&self.client, &self.id).await;
        ended.map_err(|error| error.port("close the session in Consul", &self.client, &self.layout))
    }

    /// The index at which the key was locked.
    async fn lock(&self, key: &str) -> Result<u64, CallError> {
        let note = Note { holder: self.holder.clone(), since: Timestamp::now() };
        let value = serde_json::to_vec(&note).map_err(|error| CallError::Request(error.into()))?;
        let written = txn::run(&self.client, &[Operation::lock(key, &value, &self.id)]).await?;
        Ok(written.first().map_or(0, |pair| pair.modify_index))
    }

    /// Another holder that has locked the key; if it is an earlier session of this one, close that.
    async fn predecessor(&self, key: &str) -> Result<Option<String>, CallError> {
        let Some(pair) = self.client.key(key).await? else { return Ok(None) };
        let Some(session) = pair.session else { return Ok(None) };
        let note: Option<Note> = serde_json::from_slice(&pair.value).ok();
        match note {
            Some(note) if note.holder == self.holder => {
                destroy(&self.client, &session).await?;
                Ok(None)
            }
            note => Ok(Some(note.map_or_else(|| "unknown".to_owned(), |note| note.holder))),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.renewing.abort();
    }
}

impl Lease {
    /// A number that is higher than that of any lease on the service before: a fencing token.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Give it back, and leave nothing of it in Consul.
    pub async fn release(self) -> PortResult<()> {
        let both = [Operation::unlock(&self.key, &self.session), Operation::delete(&self.key)];
        let operation = format!("give back the lease on service `{}`", self.service);
        txn::run(&self.client, &both)
            .await
            .map(drop)
            .map_err(|error| PortError::new(error.trouble(), operation).because(error))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.fences.remove(&self.service, &self.session);
    }
}

/// Keep the session alive until it is lost.
async fn renew(client: Client, id: String, begun: Instant, lost: CancellationToken) {
    let _lost = lost.drop_guard();
    let path = format!("session/renew/{id}");
    let mut end = begun + TTL;
    loop {
        tokio::time::sleep_until(end.min(Instant::now() + RENEWAL)).await;
        let asked = Instant::now();
        match tokio::time::timeout_at(end, client.put::<IgnoredAny>(&path, &())).await {
            Ok(Ok(_)) => end = asked + TTL,
            Ok(Err(CallError::Refused { status: 404, .. })) | Err(_) => break,
            Ok(Err(error)) if asked < end => {
                tracing::warn!(%error, "cannot renew the session in Consul");
            }
            Ok(Err(_)) => break,
        }
    }
    tracing::error!("the session in Consul is lost, and all leases with it");
}

async fn destroy(client: &Client, session: &str) -> Result<(), CallError> {
    client.put::<IgnoredAny>(&format!("session/destroy/{session}"), &()).await.map(drop)
}

fn no_session() -> CallError {
    CallError::Refused { status: 404, words: "no session was made".to_owned() }
}

/// What the key of a lease holds, for people.
#[derive(Serialize, Deserialize)]
pub(super) struct Note {
    holder: String,
    since: Timestamp,
}

/// The session that is asked for. It depends on no health check: only on being renewed. Locked keys go
/// with it. There is no delay before others may lock: fences keep the late from writing.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Creation {
    name: String,
    #[serde(rename = "TTL")]
    ttl: String,
    behavior: &'static str,
    lock_delay: &'static str,
    checks: [String; 0],
    node_checks: [String; 0],
}

impl Creation {
    fn of(holder: &str) -> Self {
        Self {
            name: format!("verdigris {holder}"),
            ttl: format!("{}s", TTL.as_secs()),
            behavior: "delete",
            lock_delay: "0s",
            checks: [],
            node_checks: [],
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Created {
    #[serde(rename = "ID")]
    id: String,
}

/// Which session has to have the lock for a service to be written.
#[derive(Clone, Default)]
pub(super) struct Fences {
    sessions: Arc<Mutex<BTreeMap<ServiceName, String>>>,
}

impl Fences {
    /// What every write of `service` has to begin with.
    pub(super) fn of(&self, layout: &Layout, service: &ServiceName) -> Option<Operation> {
        let sessions = self.lock();
        let session = sessions.get(service)?;
        Some(Operation::check_lock(&layout.lock(service), session))
    }

    fn put(&self, service: &ServiceName, session: &str) {
        self.lock().insert(service.clone(), session.to_owned());
    }

    fn remove(&self, service: &ServiceName, session: &str) {
        let mut sessions = self.lock();
        if sessions.get(service).is_some_and(|current| current == session) {
            sessions.remove(service);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ServiceName, String>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
