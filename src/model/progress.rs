use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Colour, DeploymentId, Failure, Outcome, Phase, Registration, ReleaseId, Route, ServiceName,
    Step,
};

/// Something that happened in a deployment, as it is streamed and kept for `logs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// Position within the deployment's stream, from 0: a client that reconnects names the last one
    /// it has seen.
    pub seq: u64,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// In which step; none for the deployment as a whole.
    pub step: Option<Step>,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Happening {
    /// The deployment was accepted.
    Opened,
    /// The step began.
    Began,
    /// The step is done.
    Done {
        /// A few words on the result, empty when there is nothing to say.
        note: String,
    },
    /// The step was not needed.
    Skipped {
        /// Why.
        why: String,
    },
    /// The step failed.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// Something outside the steps stops the deployment.
    Stopped {
        /// Why.
        failure: Failure,
    },
    /// The step is being undone.
    Undoing,
    /// The step is undone.
    Undone,
    /// The step cannot be undone or finished.
    Stuck {
        /// Why.
        problem: Failure,
    },
    /// A person approved.
    Approved {
        /// Who.
        by: String,
    },
    /// A stuck deployment was taken up again.
    Retried {
        /// Who.
        by: String,
    },
    /// Progress within a step: `2 of 3 replicas running`.
    Note {
        /// The words.
        text: String,
    },
    /// A line that a gate wrote.
    Output {
        /// The gate.
        gate: String,
        /// The line, without its end.
        line: String,
    },
    /// A gate has its verdict.
    Gate {
        /// The gate.
        gate: String,
        /// How long it took, milliseconds.
        millis: u64,
        /// Why it failed; none when it passed.
        failure: Option<String>,
        /// JUnit files that it wrote.
        #[serde(default)]
        junit: Vec<GateReport>,
    },
    /// The end.
    Ended {
        /// Which.
        outcome: Outcome,
    },
}

/// A JUnit file that a gate wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GateReport {
    /// File name.
    pub name: String,
    /// Its text.
    pub xml: String,
}

/// Where one step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Under way.
    Running,
    /// Done.
    Done,
    /// Not needed.
    Skipped,
    /// Failed.
    Failed,
    /// Was under way when the deployment was stopped or another step failed, and ended with that; nothing of
    /// it had to be undone.
    Stopped,
    /// Being undone.
    Undoing,
    /// Undone.
    Undone,
    /// Cannot be undone or finished.
    Stuck,
}

/// One step as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepView {
    /// Which.
    pub step: Step,
    /// Where it stands.
    pub state: StepState,
    /// When it began.
    #[schema(value_type = Option<String>)]
    pub began: Option<Timestamp>,
    /// When it was done, failed or was stopped.
    #[schema(value_type = Option<String>)]
    pub ended: Option<Timestamp>,
}

/// A deployment as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeploymentView {
    /// Its id.
    pub id: DeploymentId,
    /// The service.
    pub service: ServiceName,
    /// `deploy` or `rollback`.
    pub kind: String,
    /// Who asked.
    pub by: String,
    /// Its place in the order of commits.
    pub sequence: Option<u64>,
    /// When it was accepted.
    #[schema(value_type = String)]
    pub opened: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub ended: Option<Timestamp>,
    /// Where it stands.
    pub phase: Phase,
    /// The new colour, once prepared.
    pub colour: Option<Colour>,
    /// The colour that was live when it began.
    pub previous: Option<Colour>,
    /// The new release, once prepared.
    pub release: Option<ReleaseId>,
    /// Its image, pinned once prepared, as written before.
    pub image: Option<String>,
    /// Its steps, in their order.
    pub steps: Vec<StepView>,
    /// Why it is or was being reverted.
    pub failure: Option<Failure>,
    /// Its end.
    pub outcome: Option<Outcome>,
    /// Order to last proved acknowledgement of the switch, microseconds.
    pub switch_micros: Option<u64>,
    /// When it reverts by itself if not committed.
    #[schema(value_type = String)]
    pub deadline: Timestamp,
}

/// A service as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub service: ServiceName,
    /// The live colour.
    pub live: Option<Colour>,
    /// The release of each colour that has instances or a Swarm service.
    pub releases: BTreeMap<Colour, ReleaseId>,
    /// The image of each such colour.
    pub images: BTreeMap<Colour, String>,
    /// Registered instances.
    pub instances: Vec<Registration>,
    /// The route document.
    pub route: Option<Route>,
    /// The deployment under way, or stuck.
    pub deployment: Option<DeploymentView>,
    /// What is different from what it should be, one line each; empty when all is well.
    pub drift: Vec<String>,
    /// What was different within the last hour and is mended, newest last.
    #[serde(default)]
    pub mended: Vec<Mended>,
}

/// What was different from what it should be, and is no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Mended {
    /// When it was mended.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// What had been found.
    pub what: String,
}

/// A proxy as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ProxyStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `nginx` or `haproxy`.
    pub kind: String,
    /// What it serves is what the registry says, proved.
    pub in_sync: bool,
    /// Reloads since the daemon started.
    pub reloads: u64,
    /// The last problem, with file, line and column where a template is to blame; none when well.
    pub problem: Option<String>,
}

/// The answer to `status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Status {
    /// All services, by name.
    pub services: Vec<ServiceStatus>,
    /// All proxies.
    pub proxies: Vec<ProxyStatus>,
    /// What is wrong with the daemon's surroundings, one line each.
    pub problems: Vec<String>,
    /// Why the registry cannot be read. Then live colours and routes are those that every proxy follows,
    /// and no instances are shown; null when it can.
    #[serde(default)]
    pub registry: Option<String>,
}

/// What a deployment would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// The service.
    pub service: ServiceName,
    /// That very release is live already.
    pub unchanged: bool,
    /// The live colour.
    pub live: Option<Colour>,
    /// The colour that the new release would get.
    pub colour: Colour,
    /// The release that is live now.
    pub from: Option<ReleaseId>,
    /// The release that would be.
    pub to: ReleaseId,
    /// The image, pinned.
    pub image: String,
    /// What would be done, in order, one line each.
    pub steps: Vec<PlanStep>,
    /// What would keep it from succeeding, one line each.
    pub problems: Vec<String>,
}

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlanStep {
    /// The step.
    pub step: Step,
    /// What it would do.
    pub what: String,
}
