//! The audit log: each change that was asked for, with who, what, when and what came of it.

use super::auth::Caller;
use super::problem::Problem;
use crate::model::ServiceName;

/// A change that somebody asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    /// `deploy`, `abort`, …
    pub(crate) verb: &'a str,
    /// Of which service.
    pub(crate) service: &'a ServiceName,
    /// Who the client says it is.
    pub(crate) claimed: &'a str,
}

/// Log that `caller` asked for `change` and what came of it. The time is the log record's.
pub(crate) fn record<T>(
    caller: &Caller,
    change: Change<'_>,
    deployment: Option<&str>,
    result: &Result<T, Problem>,
) {
    let refused = result.as_ref().err().map(|problem| problem.refusal().message.as_str());
    tracing::info!(
        target: "audit",
        who = caller.identity(),
        claimed = change.claimed,
        what = change.verb,
        service = %change.service,
        deployment,
        refused,
        "{} {} {}",
        change.verb,
        change.service,
        if refused.is_some() { "refused" } else { "granted" },
    );
}
