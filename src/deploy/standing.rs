//! What others need to know of a running deployment's state, without its journal.

use super::saga::State;
use super::view::phase;
use crate::model::Phase;

/// How a deployment stands, as its runner publishes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each asked for by itself")]
pub struct Standing {
    /// It waits for approval.
    pub waiting: bool,
    /// It is being reverted.
    pub reverting: bool,
    /// The commit has begun: it can no longer be stopped.
    pub past_stopping: bool,
    /// It cannot be undone or finished at the moment.
    pub stuck: bool,
    /// It is at its end; all that may be left is to give back the lease.
    pub ended: bool,
    /// Its runner has left: ended, or parked.
    pub left: bool,
}

impl Standing {
    /// The standing of a deployment in `state`.
    #[must_use]
    pub fn of(state: &State) -> Self {
        Self {
            waiting: phase(state) == Phase::Waiting,
            reverting: state.reverting(),
            past_stopping: state.past_stopping(),
            stuck: state.stuck.is_some(),
            ended: state.ended.is_some(),
            left: false,
        }
    }
}
