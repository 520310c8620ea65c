//! What a deployment would do, in words: free, because what is to be done is decided in pure code.

use jiff::Timestamp;

use super::action::Finding;
use super::record::{Prepared, StepResult};
use super::runner::opening;
use super::saga::{Progress, State};
use crate::model::{Plan, PlanStep, Policy, ReleaseId, Request, Step};

/// Tell what `request` would do in a world that looks like `found`.
#[must_use]
pub fn plan(request: &Request, found: Finding) -> Plan {
    let unchanged = found.unchanged() && !request.force;
    let steps = if unchanged { Vec::new() } else { steps(request, &found.prepared) };
    let Finding { prepared, from, problems, .. } = found;
    Plan {
        service: request.service().clone(),
        unchanged,
        live: prepared.live,
        colour: prepared.colour,
        from: from.map(ReleaseId::from),
        to: prepared.release.id,
        image: prepared.release.image.to_string(),
        steps,
        problems,
    }
}

fn steps(request: &Request, prepared: &Prepared) -> Vec<PlanStep> {
    let Some(mut state) = State::open(&opening(request.clone(), Timestamp::UNIX_EPOCH)) else {
        return Vec::new();
    };
    let result = Box::new(StepResult::Prepared(prepared.clone()));
    state.steps.insert(Step::Prepare, Progress::Done(result));
    Step::ALL
        .into_iter()
        .filter(|step| *step != Step::Prepare && state.needless(*step).is_none())
        .map(|step| PlanStep { step, what: words(step, prepared) })
        .collect()
}

fn words(step: Step, prepared: &Prepared) -> String {
    let Prepared { release, colour, live, .. } = prepared;
    let Policy { stable_for, drain, .. } = &release.policy;
    let service = &release.service;
    let old = live.map_or_else(|| "nothing".to_owned(), |live| live.to_string());
    match step {
        Step::Prepare => "look, and take the snapshot".to_owned(),
        Step::PreDeployment | Step::PreIntegration | Step::PostIntegration => {
            let gates = step.gate_point().map_or(&[][..], |point| release.policy.gates.at(point));
            let names: Vec<&str> = gates.iter().map(|gate| gate.name.as_str()).collect();
            format!("run {}", names.join(", "))
        }
        Step::Start => {
            let name = service.swarm_name(*colour);
            let replicas = release.workload.replicas;
            format!("run {replicas} x {} as `{name}`", release.image)
        }
        Step::Await => {
            format!("until all run and stay so for {}", humantime::format_duration(*stable_for))
        }
        Step::Register => format!("record the instances as {colour}, idle"),
        Step::Stage => format!("put the instances into the proxies' {colour}, without effect"),
        Step::Approve => "wait for a person".to_owned(),
        Step::Switch => format!("move the public traffic from {old} to {colour}"),
        Step::Bake => "watch the new colour under public traffic".to_owned(),
        Step::Commit => format!("record {colour} as live: the point of no return"),
        Step::Drain => {
            format!("wait for requests on {old}, {} at most", humantime::format_duration(*drain))
        }
        Step::Retire if release.policy.retain.releases > 0 => format!("keep {old} for a rollback"),
        Step::Retire => format!("remove {old}"),
    }
}
