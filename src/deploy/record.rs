//! What is journalled.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ports::{ProxyViews, SwarmSnapshot, Tenure};
use crate::model::{Colour, Failure, Instance, Outcome, Release, Request, ServiceRecord, Step};

/// One entry of a deployment's journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "record")]
pub enum Record {
    /// A deployment was accepted.
    Opened {
        /// As it was asked for.
        request: Box<Request>,
    },
    /// Intent: a step is about to act.
    Began {
        /// Which.
        step: Step,
    },
    /// A step has done its work.
    Done {
        /// Which.
        step: Step,
        /// What later steps and the undo need.
        result: Box<StepResult>,
    },
    /// A step has not.
    Failed {
        /// Why (names the step).
        failure: Failure,
    },
    /// Something outside the steps ends the deployment: abort, superseded, deadline, rejection.
    Stopped {
        /// Why.
        failure: Failure,
    },
    /// Another daemon has taken the service over: nothing is done or undone any more.
    TakenOver {
        /// In whose favour, and what is left to it.
        failure: Failure,
    },
    /// Intent: a step is about to be undone.
    Undoing {
        /// Which.
        step: Step,
    },
    /// A step is undone.
    Undone {
        /// Which.
        step: Step,
    },
    /// A step could not be undone, or a step after the commit could not be done, for good.
    Stuck {
        /// Which, and why.
        problem: Failure,
    },
    /// Somebody asked to take a stuck deployment up again.
    Retried {
        /// Who.
        by: String,
    },
    /// A person approved.
    Approved {
        /// Who.
        by: String,
    },
    /// The end.
    Ended {
        /// Which end.
        outcome: Outcome,
    },
    /// One was here that is missing, or that cannot be read: nobody knows what happened. Never written.
    #[serde(skip)]
    Unreadable {
        /// Why.
        problem: String,
    },
}

/// A record as it stands in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journalled {
    /// Position within the deployment, from 0.
    pub seq: u64,
    /// When, by the daemon's clock.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub record: Record,
}

/// What a step leaves for later steps and for its undo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
#[allow(clippy::large_enum_variant, reason = "boxed where it is kept")]
pub enum StepResult {
    /// Nothing.
    Nothing,
    /// That very release is live already.
    Unchanged,
    /// Of prepare.
    Prepared(Prepared),
    /// Of await: the instances that run.
    Running {
        /// Sorted.
        instances: Vec<Instance>,
    },
    /// Of a step that was not needed.
    Skipped {
        /// Why.
        why: String,
    },
    /// Of switch.
    Switched {
        /// From order to the last proved acknowledgement, microseconds.
        micros: u64,
        /// The new instances where they differ from those that were awaited: Swarm had moved one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        moved: Option<Vec<Instance>>,
    },
}

/// What prepare decides and finds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// The release, pinned.
    pub release: Release,
    /// The colour it gets: the idle one.
    pub colour: Colour,
    /// The colour that is live now.
    pub live: Option<Colour>,
    /// The idle colour still runs this very release, with its instances: nothing needs starting.
    pub running: bool,
    /// Those instances, sorted; empty when it does not run, and in journals of before they were kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
    /// They stand in the registry and in every proxy already, as idle, and answer there: nothing needs
    /// registering or staging.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
    /// Everything as it stands, for the revert.
    pub before: Before,
    /// The tenure in which that was so.
    #[serde(default)]
    pub tenure: Tenure,
}

/// The *before* snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Before {
    /// Swarm services by colour.
    pub swarm: BTreeMap<Colour, Option<SwarmSnapshot>>,
    /// What the registry held.
    pub registry: ServiceRecord,
    /// What each proxy had.
    pub proxies: ProxyViews,
}
