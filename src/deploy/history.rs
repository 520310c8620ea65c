//! What the journals tell of a service's past.

use super::ports::{Journal, PortResult};
use super::record::{Journalled, Prepared, Record, StepResult};
use super::saga::{IllegalRecord, State};
use crate::model::{DeploymentId, ServiceName, Step};

/// How far back is looked for an earlier release; a service that failed this often in a row needs a
/// person anyway.
const FAR: usize = 200;

/// A deployment that committed.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Which.
    pub deployment: DeploymentId,
    /// What it made live, and how things stood before.
    pub prepared: Prepared,
    /// When it was retired, if it was.
    pub retired: Option<jiff::Timestamp>,
}

/// What a journal that makes no sense, which may tell of a commit, does to a look at the past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It ends there: what is older is of no use without it.
    Ends,
    /// It goes on behind it.
    IsPassedOver,
}

/// The deployment of `service` that committed last, if that is known.
pub async fn last_committed(
    journal: &dyn Journal,
    service: &ServiceName,
) -> PortResult<Option<Committed>> {
    let found = committed_until(journal, service, 1, Doubt::Ends, |found| !found.is_empty());
    Ok(found.await?.pop())
}

/// How many committed deployments a rollback may look back over: so many stay on record at least.
pub const REACH: u8 = 10;

/// The deployments of `service` that committed, newest first, until those found are `enough`; so many
/// journals are read `at_once`.
pub async fn committed_until(
    journal: &dyn Journal,
    service: &ServiceName,
    at_once: usize,
    doubt: Doubt,
    enough: impl Fn(&[Committed]) -> bool + Send,
) -> PortResult<Vec<Committed>> {
    let (mut found, mut looked_at, mut before) = (Vec::new(), 0, None);
    while looked_at < FAR {
        let some = journal.journals(service, before, at_once).await?;
        let Some((oldest, _)) = some.last() else { break };
        before = Some(*oldest);
        looked_at += some.len();
        for (deployment, entries) in &some {
            match as_committed(*deployment, entries) {
                Ok(committed) => found.extend(committed),
                Err(_) if doubt == Doubt::IsPassedOver => {}
                Err(_) => return Ok(found),
            }
            if enough(&found) {
                return Ok(found);
            }
        }
    }
    Ok(found)
}

fn as_committed(
    deployment: DeploymentId,
    entries: &[Journalled],
) -> Result<Option<Committed>, IllegalRecord> {
    let state = State::replay(entries)?;
    let Some(prepared) = state.prepared().filter(|_| state.committed()) else { return Ok(None) };
    let retired = entries.iter().find(|entry| is_done(&entry.record, Step::Retire));
    Ok(Some(Committed {
        deployment,
        prepared: prepared.clone(),
        retired: retired.map(|entry| entry.at),
    }))
}

fn is_done(record: &Record, wanted: Step) -> bool {
    matches!(record, Record::Done { step, result }
        if *step == wanted && !matches!(**result, StepResult::Skipped { .. }))
}
