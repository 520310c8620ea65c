//! Doing and undoing one step. What is to be done was decided by `saga`; here are the effects, through
//! the ports and nothing else. Everything is idempotent: a step that a crash interrupted is done again.

mod await_up;
mod bake;
mod failing;
mod finish;
mod gates;
mod look;
mod obstacles;
mod patience;
mod prepare;
mod sight;
mod switch;
mod tries;
mod wanted;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::feed::Feed;
use super::ledger::Ledger;
use super::ports::{Origin, PortError, PortResult, Tenure, Trouble, World};
use super::record::{Prepared, StepResult};
use super::saga::State;
use super::stopwatch::Stopwatch;
use crate::model::{DeploymentId, Failure, FailureKind, Happening, Step};

pub(super) use failing::failed;
use failing::stopped;
pub use look::{Finding, foresee, look};
pub use tries::Tries;

/// What a step works with.
#[derive(Clone)]
pub struct Context {
    /// The deployment.
    pub id: DeploymentId,
    /// As it stood when the step began.
    pub state: Arc<State>,
    /// What it acts on.
    pub world: World,
    /// The one way to change the registry.
    pub ledger: Arc<Ledger>,
    /// Where it says how it goes.
    pub feed: Arc<Feed>,
    /// Fires when the deployment is to stop: steps that wait end, steps that act finish their act.
    pub stop: CancellationToken,
    /// Fires when the daemon shuts down: an undo ends between two acts.
    pub shutdown: CancellationToken,
    /// What earlier tries left to know.
    pub tries: Arc<Tries>,
    /// Turns true when a person approves.
    pub approved: watch::Receiver<bool>,
}

impl Context {
    /// What prepare decided; a step that asks before that is a defect.
    fn prepared(&self, step: Step) -> Result<&Prepared, Failure> {
        self.state.prepared().ok_or_else(|| Failure {
            step,
            kind: FailureKind::Internal,
            message: "the deployment was not prepared".to_owned(),
            details: Vec::new(),
            remedy: None,
        })
    }

    fn note(&self, step: Step, text: impl Into<String>) {
        let text = text.into();
        // What is tried again and again says the same again and again.
        let insists = self.state.committed() || self.state.reverting();
        if !insists || self.tries.is_new(step, &text) {
            self.feed.say(Some(step), Happening::Note { text });
        }
    }
}

/// Do `step`, if the service is this daemon's to change.
pub async fn perform(context: &Context, step: Step) -> Result<StepResult, Failure> {
    if needs_lease(step) {
        hold(context).await.map_err(|error| failed(step, &error))?;
    }
    match step {
        Step::Prepare => prepare::prepare(context).await,
        Step::PreDeployment | Step::PreIntegration | Step::PostIntegration => {
            gates::run(context, step).await
        }
        Step::Start => start(context).await,
        Step::Await => await_up::await_up(context).await,
        Step::Register => switch::register(context).await,
        Step::Stage => switch::stage(context).await,
        Step::Approve => approve(context).await,
        Step::Switch => switch::switch(context).await,
        Step::Bake => bake::bake(context).await,
        Step::Commit => finish::commit(context).await,
        Step::Drain => finish::drain(context).await,
        Step::Retire => finish::retire(context).await,
    }
}

/// Undo `step`; it may never have acted, or only half.
pub async fn undo(context: &Context, step: Step) -> PortResult<()> {
    let Some(prepared) = context.state.prepared() else { return Ok(()) };
    if needs_lease(step) {
        hold(context).await?;
    }
    match step {
        Step::PreDeployment | Step::PreIntegration | Step::PostIntegration => {
            context.world.gates.clean(context.id).await
        }
        Step::Start => {
            switch::lead_none(context, prepared).await?;
            let name = prepared.release.service.swarm_name(prepared.colour);
            let before = prepared.before.swarm.get(&prepared.colour).and_then(Option::as_ref);
            context.world.swarm.restore(&name, before).await
        }
        Step::Register => switch::unregister(context, prepared).await,
        Step::Stage => switch::unstage(context, prepared).await,
        Step::Switch => switch::unswitch(context, prepared).await,
        Step::Commit => finish::uncommit(context, prepared).await,
        // These leave nothing behind.
        Step::Prepare | Step::Await | Step::Approve | Step::Bake | Step::Drain | Step::Retire => {
            Ok(())
        }
    }
}

/// Steps that change what other daemons could change, too. `prepare` takes it by itself, since it
/// remembers the tenure.
fn needs_lease(step: Step) -> bool {
    match step {
        Step::Start | Step::Register | Step::Stage | Step::Switch | Step::Commit | Step::Retire => {
            true
        }
        Step::Prepare
        | Step::PreDeployment
        | Step::Await
        | Step::PreIntegration
        | Step::Approve
        | Step::PostIntegration
        | Step::Bake
        | Step::Drain => false,
    }
}

/// Have the lease on the service, and have had it ever since the deployment was prepared.
async fn hold(context: &Context) -> PortResult<Tenure> {
    let service = context.state.request.service();
    let tenure = context.world.leases.take(service).await;
    let tenure = tenure.map_err(|error| error.of(Origin::Registry))?;
    match context.state.prepared() {
        Some(prepared) if tenure > prepared.tenure => {
            let operation = format!("go on with service `{service}`");
            let why = "another daemon had it meanwhile, and has perhaps deployed it";
            Err(PortError::new(Trouble::Superseded, operation).because(why))
        }
        _ => Ok(tenure),
    }
}

async fn start(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Start)?;
    let started = async {
        switch::lead_off(context, prepared).await?;
        context.world.swarm.start(&prepared.release, prepared.colour, context.id).await
    };
    started.await.map_err(|error| failed(Step::Start, &error))?;
    Ok(StepResult::Nothing)
}

async fn approve(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Approve)?;
    let Some(approval) = &prepared.release.policy.approve else { return Ok(StepResult::Nothing) };
    let limit = humantime::format_duration(approval.expires);
    context.note(Step::Approve, format!("waits for approval, for {limit} at most"));
    // Asked in an earlier life, it has been waiting since.
    let now = context.world.clock.now();
    let since = context.state.asked.unwrap_or(now);
    let waited = Stopwatch::going(since, now, Duration::ZERO, approval.expires);
    let mut approved = context.approved.clone();
    // An answer that is there counts, also at the instant at which its time is over.
    tokio::select! {
        biased;
        heard = approved.wait_for(|approved| *approved) => match heard {
            Ok(_) => Ok(StepResult::Nothing),
            Err(_) => Err(stopped(Step::Approve)),
        },
        () = context.stop.cancelled() => Err(stopped(Step::Approve)),
        () = tokio::time::sleep(waited.left(approval.expires)) => Err(Failure {
            step: Step::Approve,
            kind: FailureKind::Approval,
            message: format!("nobody approved within {limit}"),
            details: Vec::new(),
            remedy: Some("deploy again, and approve with `verdigris approve DEPLOYMENT`".to_owned()),
        }),
    }
}
