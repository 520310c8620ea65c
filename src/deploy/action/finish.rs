use std::time::Duration;

use tokio::time::Instant;

use super::{Context, failed, stopped, switch};
use crate::deploy::health::{Verdict, describe, judge};
use crate::deploy::ledger;
use crate::deploy::ports::{Answers, PortResult, PortWanted};
use crate::deploy::record::{Prepared, StepResult};
use crate::model::{Bake, Colour, Failure, FailureKind, Step};

/// How often the new colour is looked at while it bakes.
const LOOK: Duration = Duration::from_millis(250);

/// Watch the new colour under public traffic.
pub async fn bake(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Bake)?;
    let Some(bake) = &prepared.release.policy.bake else { return Ok(StepResult::Nothing) };
    let limit = humantime::format_duration(bake.duration);
    context.note(Step::Bake, format!("watching `{}` for {limit}", prepared.colour));
    let end = Instant::now() + bake.duration;
    let before = answers(context, prepared).await?;
    loop {
        let last = Instant::now() >= end;
        check_tasks(context, prepared).await?;
        check_answers(bake, before, answers(context, prepared).await?)?;
        if last {
            return Ok(StepResult::Nothing);
        }
        tokio::select! {
            biased;
            () = context.stop.cancelled() => return Err(stopped(Step::Bake)),
            () = tokio::time::sleep(LOOK.min(end - Instant::now())) => {}
        }
    }
}

async fn answers(context: &Context, prepared: &Prepared) -> Result<Answers, Failure> {
    let service = &prepared.release.service;
    let proxies = &context.world.proxies;
    proxies.answers(service, prepared.colour).await.map_err(|error| failed(Step::Bake, &error))
}

fn check_answers(bake: &Bake, before: Answers, now: Answers) -> Result<(), Failure> {
    let total = now.total.saturating_sub(before.total);
    let errors = now.errors.saturating_sub(before.errors);
    #[allow(clippy::cast_precision_loss, reason = "counts of a few minutes' answers")]
    let share = errors as f64 / total.max(1) as f64;
    if total < bake.min_requests.max(1) || share <= bake.max_errors {
        return Ok(());
    }
    Err(Failure {
        step: Step::Bake,
        kind: FailureKind::PostGate,
        message: format!(
            "{errors} of {total} answers were 5xx ({:.1} %), more than the {:.1} % allowed",
            share * 100.0,
            bake.max_errors * 100.0
        ),
        details: Vec::new(),
        remedy: Some("see the new release's log for what it answered with 5xx".to_owned()),
    })
}

async fn check_tasks(context: &Context, prepared: &Prepared) -> Result<(), Failure> {
    let name = prepared.release.service.swarm_name(prepared.colour);
    let port = PortWanted::of(&prepared.release.policy);
    let tasks = context.world.swarm.tasks(&name, port).await;
    let tasks = tasks.map_err(|error| failed(Step::Bake, &error))?;
    let Verdict::Down(task) = judge(&tasks, prepared.release.workload.replicas) else {
        return Ok(());
    };
    Err(Failure {
        step: Step::Bake,
        kind: FailureKind::PostGate,
        message: format!("an instance of `{name}` did not stay up: {}", describe(&task)),
        details: context.world.swarm.tail(&task, 20).await,
        remedy: None,
    })
}

/// The new colour is recorded as live.
pub async fn commit(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Commit)?;
    let service = &prepared.release.service;
    context
        .ledger
        .change(service, |record| ledger::commit(record, prepared))
        .await
        .map_err(|error| failed(Step::Commit, &error))?;
    Ok(StepResult::Nothing)
}

/// Undo of a [`commit`] that was not recorded.
pub async fn uncommit(context: &Context, prepared: &Prepared) -> PortResult<()> {
    let service = &prepared.release.service;
    context.ledger.change(service, |record| ledger::uncommit(record, prepared)).await?;
    Ok(())
}

/// Wait for the requests in flight on the old colour, for `drain` at most.
pub async fn drain(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Drain)?;
    let Some(old) = prepared.live else { return Ok(StepResult::Nothing) };
    switch::lead_all(context, prepared).await.map_err(|error| failed(Step::Drain, &error))?;
    tokio::select! {
        biased;
        () = context.stop.cancelled() => Err(stopped(Step::Drain)),
        drained = await_drained(context, prepared, old) => {
            if let Some(left) = drained.map_err(|error| failed(Step::Drain, &error))? {
                context.note(Step::Drain, left);
            }
            Ok(StepResult::Nothing)
        }
    }
}

/// Wait for the requests in flight on `colour`, for `drain` at most. Answers a line when some are left.
pub async fn await_drained(
    context: &Context,
    prepared: &Prepared,
    colour: Colour,
) -> PortResult<Option<String>> {
    let limit = prepared.release.policy.drain;
    let drained = context.world.proxies.drained(&prepared.release.service, colour);
    if let Ok(drained) = tokio::time::timeout(limit, drained).await {
        return drained.map(|()| None);
    }
    let limit = humantime::format_duration(limit);
    Ok(Some(format!("requests still in flight on `{colour}` after {limit}")))
}

/// The old colour is removed, or kept as `retain` says.
pub async fn retire(context: &Context) -> Result<StepResult, Failure> {
    let prepared = context.prepared(Step::Retire)?;
    let Some(old) = prepared.live else { return Ok(StepResult::Nothing) };
    retire_colour(context, prepared, old).await.map_err(|error| failed(Step::Retire, &error))?;
    Ok(StepResult::Nothing)
}

async fn retire_colour(context: &Context, prepared: &Prepared, old: Colour) -> PortResult<()> {
    let service = &prepared.release.service;
    let retain = &prepared.release.policy.retain;
    let keep = retain.releases > 0;
    if keep && retain.scale.is_none() {
        context.note(Step::Retire, format!("`{old}` is kept running"));
        return Ok(());
    }
    let led = switch::lead_all(context, prepared).await;
    // Whatever may have led the public away from it just now, be it an earlier life.
    if context.state.taken_up || !matches!(led, Ok(false)) {
        await_drained(context, prepared, old).await?;
    }
    led?;
    // Out of the registry and the proxies first: nobody is sent to an instance that is being stopped.
    let deregister = context.ledger.change(service, |record| ledger::retire(record, old));
    let (deregistered, retired) =
        tokio::join!(deregister, context.world.proxies.retire(service, old));
    deregistered?;
    retired?;
    let name = service.swarm_name(old);
    match retain.scale {
        Some(replicas) if keep => {
            context.note(Step::Retire, format!("`{old}` is kept with {replicas} replicas"));
            context.world.swarm.scale(&name, replicas.into()).await
        }
        _ => context.world.swarm.restore(&name, None).await,
    }
}
