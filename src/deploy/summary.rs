//! The past as lists show it: every journal is folded once, after its end, and not again for each list.

use super::ports::{Journal, Past, PortResult};
use super::view::view;
use crate::model::{DeploymentId, DeploymentView, Outcome};

/// The newest `limit` deployments of `past`, newest first; one whose journal makes no sense is left out.
pub async fn summaries(
    journal: &dyn Journal,
    past: Past<'_>,
    limit: usize,
) -> PortResult<Vec<DeploymentView>> {
    let found = journal.summaries(past, limit).await?;
    let mut views = Vec::with_capacity(found.len());
    for (id, summary) in found {
        match summary {
            Some(summary) => views.push(summary),
            None => views.extend(summarize(journal, id).await?),
        }
    }
    Ok(views)
}

/// The deployments that are stuck now.
pub async fn stuck(journal: &dyn Journal) -> PortResult<Vec<DeploymentView>> {
    let mut views = Vec::new();
    for id in journal.unfinished().await? {
        views.extend(view(id, &journal.read(id).await?));
    }
    views.retain(|view| matches!(view.outcome, Some(Outcome::Stuck { .. })));
    Ok(views)
}

async fn summarize(journal: &dyn Journal, id: DeploymentId) -> PortResult<Option<DeploymentView>> {
    let entries = journal.read(id).await?;
    let Ok(view) = view(id, &entries) else { return Ok(None) };
    if view.ended.is_some()
        && let Err(error) = journal.summarize(&view, entries.len()).await
    {
        // The next list folds it again.
        tracing::debug!(deployment = %id, error = error.chain(), "its summary is not kept");
    }
    Ok(Some(view))
}
