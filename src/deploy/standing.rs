//! What others need to know of a running deployment's state, without its journal.

use super::saga::State;
use super::view::phase;
use crate::model::{Phase, PinnedImage};

/// How a deployment stands, as its runner publishes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts, each asked for by itself")]
pub struct Standing {
    /// A step of it has begun.
    pub begun: bool,
    /// What it makes live, once it is prepared.
    pub image: Option<PinnedImage>,
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
            begun: !state.steps.is_empty(),
            image: state.prepared().map(|prepared| prepared.release.image.clone()),
            waiting: phase(state) == Phase::Waiting,
            reverting: state.reverting(),
            past_stopping: state.past_stopping(),
            stuck: state.stuck.is_some(),
            ended: state.ended.is_some(),
            left: false,
        }
    }

    /// What it is at, in a word: one of [`Self::STATES`], or none when it is at its end.
    #[must_use]
    pub fn state(&self) -> Option<&'static str> {
        let [queued, running, waiting, reverting, stuck] = Self::STATES;
        match self {
            Self { ended: true, .. } => None,
            Self { stuck: true, .. } => Some(stuck),
            Self { reverting: true, .. } => Some(reverting),
            Self { waiting: true, .. } => Some(waiting),
            Self { begun: false, .. } => Some(queued),
            _ => Some(running),
        }
    }

    /// All that a deployment can be at: its turn has not come, it goes on, a person is asked to approve it,
    /// it is being reverted, a person is needed.
    pub const STATES: [&'static str; 5] = ["queued", "running", "waiting", "reverting", "stuck"];

    /// Whoever joins it now shares an end that was decided without them, or nobody's.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.reverting || self.stuck || self.ended || self.left
    }
}
