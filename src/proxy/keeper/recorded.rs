//! What a keeper begins with that has no memory of its own.

use std::sync::Arc;
use std::time::Duration;

use crate::deploy::ledger;
use crate::deploy::ports::Registry;
use crate::proxy::routing::{Entries, Entry};

/// A registry that does not answer within this time is not waited for: the services come one by one when
/// it does.
const PATIENCE: Duration = Duration::from_secs(5);

/// The services as `registry` has them. A keeper that has never run here, or whose state was lost, begins
/// with them: without, it would render a configuration without any service, and cut off those that a
/// proxy still leads the public to.
pub async fn recorded(registry: &dyn Registry) -> Entries {
    let records = match tokio::time::timeout(PATIENCE, registry.read_all()).await {
        Ok(Ok(records)) => records,
        Ok(Err(error)) => {
            tracing::warn!(
                error = error.chain(),
                "a keeper without memory begins without services"
            );
            return Entries::new();
        }
        Err(_) => {
            tracing::warn!(
                "the registry is silent: a keeper without memory begins without services"
            );
            return Entries::new();
        }
    };
    let views = records.iter().filter_map(|(service, record)| ledger::public(service, record));
    let entries = views.map(|view| (view.service.clone(), Arc::new(Entry { view, next: None })));
    entries.collect()
}
