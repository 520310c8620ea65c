//! What the journals tell of a service's past.

use super::ports::{Journal, PortResult};
use super::record::{Journalled, Prepared, Record, StepResult};
use super::saga::State;
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

/// The deployments of `service` that committed, newest first, `most` at most.
pub async fn committed(
    journal: &dyn Journal,
    service: &ServiceName,
    most: usize,
) -> PortResult<Vec<Committed>> {
    committed_until(journal, service, |found| found.len() >= most).await
}

/// The deployments of `service` that committed, newest first, until those found are `enough`.
pub async fn committed_until(
    journal: &dyn Journal,
    service: &ServiceName,
    enough: impl Fn(&[Committed]) -> bool + Send,
) -> PortResult<Vec<Committed>> {
    let mut found = Vec::new();
    for deployment in journal.recent(Some(service), FAR).await? {
        if enough(&found) {
            break;
        }
        found.extend(as_committed(deployment, &journal.read(deployment).await?));
    }
    Ok(found)
}

fn as_committed(deployment: DeploymentId, entries: &[Journalled]) -> Option<Committed> {
    let state = State::replay(entries).ok()?;
    if !state.committed() {
        return None;
    }
    let retired = entries.iter().find(|entry| is_done(&entry.record, Step::Retire));
    Some(Committed {
        deployment,
        prepared: state.prepared()?.clone(),
        retired: retired.map(|entry| entry.at),
    })
}

fn is_done(record: &Record, wanted: Step) -> bool {
    matches!(record, Record::Done { step, result }
        if *step == wanted && !matches!(**result, StepResult::Skipped { .. }))
}
