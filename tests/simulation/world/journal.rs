//! The journals of the daemons, and what they say of deployments.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use verdigris::deploy::ledger::switched;
use verdigris::deploy::ports::{EventLog, Journal, Past, PortResult};
use verdigris::deploy::record::{Journalled, Record};
use verdigris::deploy::saga::State;
use verdigris::model::{Colour, DeploymentId, DeploymentView, Event, Outcome, ServiceName, Step};

use super::{Daemon, Sim, Truth};

/// From a record's being there to the answer that it is.
const ANSWER: Duration = Duration::from_millis(1);

/// The journals of one daemon.
pub type Journals = BTreeMap<DeploymentId, Vec<Journalled>>;

/// What is live since a commit.
#[derive(Debug, Clone)]
pub struct Commit {
    pub deployment: DeploymentId,
    pub colour: Colour,
    pub release: String,
    by: Daemon,
    /// Of its route: a daemon that was stopped may note its commit after the next one took place.
    generation: u64,
}

impl Truth {
    fn commit(&mut self, service: &ServiceName, commit: Commit) {
        let known = self.committed.get(service);
        let later = |known: &Commit| known.by == commit.by || known.generation < commit.generation;
        if known.is_none_or(later) {
            self.committed.insert(service.clone(), commit);
        }
    }

    fn append(&mut self, daemon: Daemon, id: DeploymentId, record: &Record) {
        self.examine(daemon, id, record);
        let at = self.now();
        let entries = self.journals.entry(daemon).or_default().entry(id).or_default();
        let seq = entries.len() as u64;
        entries.push(Journalled { seq, at, record: record.clone() });
        if matches!(record, Record::Done { step: Step::Commit, .. }) {
            let state = State::replay(entries).expect("a journal that makes sense");
            let prepared = state.prepared().expect("it was prepared");
            let commit = Commit {
                deployment: id,
                colour: prepared.colour,
                release: prepared.release.id.to_string(),
                by: daemon,
                generation: switched(prepared).generation,
            };
            self.commit(state.request.service(), commit);
        }
    }
}

impl Sim {
    /// The daemon of this life has agreed to abort `deployment`: unless it dies it does.
    pub fn note_abort(&self, deployment: DeploymentId) {
        self.truth().aborted.insert(deployment, self.life);
    }

    /// Look at the journals of this daemon.
    pub fn with_journal<T>(&self, look: impl FnOnce(&Journals) -> T) -> T {
        look(self.truth().journals.entry(self.daemon).or_default())
    }
}

fn is_of(entries: &[Journalled], service: &ServiceName) -> bool {
    matches!(entries.first().map(|first| &first.record),
        Some(Record::Opened { request }) if request.service() == service)
}

fn is_committed(entries: &[Journalled]) -> bool {
    matches!(
        entries.last().map(|last| &last.record),
        Some(Record::Ended { outcome: Outcome::Committed })
    )
}

#[async_trait]
impl Journal for Sim {
    async fn append(&self, deployment: DeploymentId, records: &[Record]) -> PortResult<()> {
        let daemon = self.daemon;
        self.act_whole("append", |truth| {
            for record in records {
                truth.append(daemon, deployment, record);
            }
            Ok(())
        })
        .await?;
        if records.iter().any(|record| matches!(record, Record::Opened { .. })) {
            // It is on record before that is answered, and whoever waits for the answer may be gone then.
            tokio::time::sleep(ANSWER).await;
        }
        Ok(())
    }

    async fn read(&self, deployment: DeploymentId) -> PortResult<Vec<Journalled>> {
        Ok(self.with_journal(|journal| journal.get(&deployment).cloned()).unwrap_or_default())
    }

    async fn unfinished(&self) -> PortResult<Vec<DeploymentId>> {
        Ok(self.with_journal(|journal| {
            let open = journal.iter().filter(|(_, entries)| {
                !matches!(entries.last().map(|last| &last.record), Some(Record::Ended { .. }))
            });
            open.map(|(id, _)| *id).collect()
        }))
    }

    async fn recent(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> PortResult<Vec<DeploymentId>> {
        Ok(self.with_journal(|journal| {
            let all = journal.iter().rev();
            let wanted = all.filter(|(_, entries)| service.is_none_or(|name| is_of(entries, name)));
            wanted.map(|(id, _)| *id).take(limit).collect()
        }))
    }

    async fn journals(
        &self,
        service: &ServiceName,
        before: Option<DeploymentId>,
        limit: usize,
    ) -> PortResult<Vec<(DeploymentId, Vec<Journalled>)>> {
        Ok(self.with_journal(|journal| {
            let older = journal.iter().rev().filter(|(id, _)| before.is_none_or(|it| **id < it));
            let wanted = older.filter(|(_, entries)| is_of(entries, service)).take(limit);
            wanted.map(|(id, entries)| (*id, entries.clone())).collect()
        }))
    }

    /// None is kept: whoever asks reads the journals.
    async fn summaries(
        &self,
        past: Past<'_>,
        limit: usize,
    ) -> PortResult<Vec<(DeploymentId, Option<DeploymentView>)>> {
        let is_of = |entries: &[Journalled]| match past {
            Past::All => true,
            Past::Of(service) => is_of(entries, service),
            Past::Committed(service) => is_of(entries, service) && is_committed(entries),
        };
        Ok(self.with_journal(|journal| {
            let wanted = journal.iter().rev().filter(|(_, entries)| is_of(entries));
            wanted.map(|(id, _)| (*id, None)).take(limit).collect()
        }))
    }

    async fn summarize(&self, _: &DeploymentView, _: usize) -> PortResult<()> {
        Ok(())
    }

    async fn sequence(&self, service: &ServiceName) -> PortResult<Option<u64>> {
        Ok(self
            .with_journal(|journal| {
                let opened = journal.values().filter_map(|entries| State::open(entries.first()?));
                let requests = opened.map(|state| state.request);
                let of_service = requests.filter(|request| request.service() == service);
                of_service.filter_map(|request| request.sequence).max()
            })
            .max(self.truth().accepted.get(&(self.daemon, service.clone())).copied()))
    }

    async fn accept(&self, service: &ServiceName, sequence: u64) -> PortResult<()> {
        let of = (self.daemon, service.clone());
        self.act_whole("accept", |truth| {
            let highest = truth.accepted.entry(of).or_default();
            *highest = sequence.max(*highest);
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl EventLog for Sim {
    async fn keep(&self, event: &Event) {
        self.truth().log.entry(event.deployment).or_default().push(event.clone());
    }

    async fn events(&self, deployment: DeploymentId) -> PortResult<Vec<Event>> {
        Ok(self.truth().log.get(&deployment).cloned().unwrap_or_default())
    }
}
