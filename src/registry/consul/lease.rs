//! Leases: of several daemons on one Consul, one is responsible for a service at a time.
//!
//! A daemon opens a [`Session`], which Consul forgets when it is not renewed; a [`Lease`] locks a key
//! for it. While a lease is held every write of its service is fenced: the transaction checks that the
//! session still has the lock, so a daemon that was away for too long cannot write any more, whatever
//! it believes.

use std::sync::Arc;
use std::time::Duration;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Consul;
use super::client::{Answer, Client};
use super::error::CallError;
use super::fence::{Fence, Fences};
use super::image::Pair;
use super::layout::Layout;
use super::txn::{self, Operation};
use crate::deploy::ports::{PortError, PortResult, Tenure, Trouble};
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
    /// Until when it surely lives, if it is not renewed.
    lives_until: watch::Receiver<Instant>,
    renewing: JoinHandle<()>,
}

/// The right to be the one that changes a service. See [`Lease::release`].
pub struct Lease {
    client: Client,
    key: String,
    session: String,
    holder: String,
    service: ServiceName,
    fences: Fences,
    fence: Arc<Fence>,
    index: u64,
    tenure: Tenure,
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
        let (renewed, lives_until) = watch::channel(begun + TTL);
        let renewing = renew(self.client.clone(), id.clone(), renewed, lost.clone());
        Ok(Session {
            client: self.client.clone(),
            layout: self.layout.clone(),
            fences: self.fences.clone(),
            id,
            holder: holder.to_owned(),
            lost,
            lives_until,
            renewing: tokio::spawn(renewing),
        })
    }

    /// Services whose key bears the name of `holder`, but for those that keep it to show that the
    /// service passed between daemons.
    pub(super) async fn left_by(&self, holder: &str) -> PortResult<Vec<ServiceName>> {
        let locks = self.layout.locks();
        let pairs: Result<Answer<Vec<Pair>>, CallError> =
            self.client.get_consistent(&format!("kv/{locks}"), &[("recurse", "")]).await;
        let operation = || "see which leases are left".to_owned();
        let pairs = pairs.map_err(|error| self.failed(error, operation()))?;
        let is_left = |pair: &Pair| {
            Note::of(pair).is_some_and(|note| {
                let passed = note.tenure != Tenure::default();
                note.holder == holder && (pair.session.is_some() || !passed)
            })
        };
        let left = pairs.value.into_iter().flatten().filter(is_left);
        Ok(left.filter_map(|pair| pair.key.strip_prefix(&locks)?.parse().ok()).collect())
    }

    /// Who has the lease on `service`, if somebody has.
    pub(super) async fn holder(&self, service: &ServiceName) -> PortResult<Option<String>> {
        let held = holder(&self.client, &self.layout.lock(service)).await;
        let held =
            held.map_err(|error| self.failed(error, format!("see who has service `{service}`")));
        Ok(held?.map(|(_, holder)| holder))
    }
}

impl Session {
    /// Take the lease on `service`. [`Trouble::Superseded`] when another daemon has it; its name is in
    /// the error.
    pub async fn lease(&self, service: &ServiceName) -> PortResult<Lease> {
        self.lease_again(service, Tenure::default()).await
    }

    /// Take the lease on `service` that an earlier session had in tenure `had`. A Consul that was wiped
    /// has forgotten that: it goes on from there, so that a tenure of another daemon is higher still.
    pub(super) async fn lease_again(
        &self,
        service: &ServiceName,
        had: Tenure,
    ) -> PortResult<Lease> {
        let operation = || format!("take the lease on service `{service}`");
        let key = self.layout.lock(service);
        let taken = match self.lock(&key, had).await {
            Err(error) if error.is_held() => match self.predecessor(&key).await {
                Ok(Some(other)) => {
                    let held = format!("daemon `{other}` deploys it");
                    return Err(PortError::new(Trouble::Superseded, operation()).because(held));
                }
                Ok(None) => self.lock(&key, had).await,
                Err(error) => Err(error),
            },
            taken => taken,
        };
        let failed = |error: CallError| error.port(operation(), &self.client, &self.layout);
        let (index, tenure) = taken.map_err(failed)?;
        let fence = self.fences.put(service, self.fence());
        Ok(Lease {
            client: self.client.clone(),
            key,
            session: self.id.clone(),
            holder: self.holder.clone(),
            service: service.clone(),
            fences: self.fences.clone(),
            fence,
            index,
            tenure,
        })
    }

    /// Fires when the session is lost, and all leases with it: stop acting.
    #[must_use]
    pub fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// Whether it surely lives. A process that was stopped for a while finds out by the time, before
    /// anything can have told it.
    #[must_use]
    pub fn lives(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < *self.lives_until.borrow()
    }

    /// Close the session: its leases are free at once.
    pub async fn end(self) -> PortResult<()> {
        let ended = destroy(&self.client, &self.id).await;
        ended.map_err(|error| error.port("close the session in Consul", &self.client, &self.layout))
    }

    fn fence(&self) -> Fence {
        Fence { session: self.id.clone(), holder: self.holder.clone(), lost: self.lost.clone() }
    }

    /// Lock the key, and count on from `had` when another daemon had it before. Answers the index at
    /// which it was locked, and the tenure.
    async fn lock(&self, key: &str, had: Tenure) -> Result<(u64, Tenure), CallError> {
        let mut tenure = self.tenure(self.client.key(key).await?.as_ref(), had);
        loop {
            let note = Note { holder: self.holder.clone(), tenure };
            let lock = Operation::lock(key, &note.encode()?, &self.id);
            let done = txn::run(&self.client, &[Operation::read(key), lock]).await?;
            let of_key: Vec<&Pair> = done.iter().filter(|pair| pair.key == key).collect();
            let [before @ .., locked] = of_key.as_slice() else { return Ok((0, tenure)) };
            let found = self.tenure(before.first().copied(), had);
            // Another daemon had it, for a moment, after it was looked at.
            if found > tenure {
                tenure = found;
                continue;
            }
            return Ok((locked.modify_index, tenure));
        }
    }

    /// The tenure that follows on what the key held before, and on what this daemon `had`.
    fn tenure(&self, before: Option<&Pair>, had: Tenure) -> Tenure {
        before.and_then(Note::of).map_or(had, |note| {
            let last = note.tenure.max(had);
            match note.holder == self.holder {
                true => last,
                false => Tenure(last.0 + 1),
            }
        })
    }

    /// Another holder that has locked the key; if it is an earlier session of this one, close that.
    async fn predecessor(&self, key: &str) -> Result<Option<String>, CallError> {
        match holder(&self.client, key).await? {
            Some((session, holder)) if holder == self.holder => {
                destroy(&self.client, &session).await?;
                Ok(None)
            }
            other => Ok(other.map(|(_, holder)| holder)),
        }
    }
}

/// The session that has locked `key`, and whose it is.
async fn holder(client: &Client, key: &str) -> Result<Option<(String, String)>, CallError> {
    let Some(pair) = client.key(key).await? else { return Ok(None) };
    let holder = Note::of(&pair).map_or_else(|| "unknown".to_owned(), |note| note.holder);
    Ok(pair.session.map(|session| (session, holder)))
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

    /// Grows when the service passes from one daemon to another.
    #[must_use]
    pub fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// Whether it belongs to `session`.
    #[must_use]
    pub fn is_of(&self, session: &Session) -> bool {
        self.session == session.id
    }

    /// Give it back. Nothing of it is left in Consul, unless somebody may have to notice later that the
    /// service was in other hands: when it passed between daemons before, or with `unfinished` work.
    pub async fn release(&self, unfinished: bool) -> PortResult<()> {
        let note = Note { holder: self.holder.clone(), tenure: self.tenure };
        let operation = format!("give back the lease on service `{}`", self.service);
        let failed = |error: CallError| PortError::new(error.trouble(), &operation).because(error);
        let value = note.encode().map_err(failed)?;
        let mut operations = vec![Operation::unlock(&self.key, &value, &self.session)];
        if !unfinished && self.tenure == Tenure::default() {
            operations.push(Operation::delete(&self.key));
        }
        let failed = |error: CallError| PortError::new(error.trouble(), &operation).because(error);
        txn::run(&self.client, &operations).await.map(drop).map_err(failed)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.fences.remove(&self.service, &self.fence);
    }
}

/// Keep the session alive until it is lost.
async fn renew(
    client: Client,
    id: String,
    lives_until: watch::Sender<Instant>,
    lost: CancellationToken,
) {
    let _lost = lost.drop_guard();
    let path = format!("session/renew/{id}");
    loop {
        let end = *lives_until.borrow();
        tokio::time::sleep_until(end.min(Instant::now() + RENEWAL)).await;
        let asked = Instant::now();
        match tokio::time::timeout_at(end, client.put::<IgnoredAny>(&path, &())).await {
            Ok(Ok(_)) => drop(lives_until.send_replace(asked + TTL)),
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

/// What the key of a lease holds: who has the service, or had it last.
#[derive(PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) holder: String,
    #[serde(default)]
    tenure: Tenure,
}

impl Note {
    pub(super) fn of(pair: &Pair) -> Option<Self> {
        serde_json::from_slice(&pair.value).ok()
    }

    fn encode(&self) -> Result<Vec<u8>, CallError> {
        serde_json::to_vec(self).map_err(|error| CallError::Request(error.into()))
    }
}

/// The session that is asked for. It depends on no health check: only on being renewed. When it goes,
/// its keys are unlocked, and tell who had them last. There is no delay before others may lock: fences
/// keep the late from writing.
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
            behavior: "release",
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
