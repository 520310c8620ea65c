use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Context, failed, stopped, switch};
use crate::deploy::ledger;
use crate::deploy::ports::{PortResult, Trouble};
use crate::deploy::record::{Prepared, StepResult};
use crate::model::{Colour, Failure, Step};

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
        left = await_drained(context, prepared, old) => {
            if let Some(left) = left {
                context.note(Step::Drain, left);
            }
            Ok(StepResult::Nothing)
        }
    }
}

/// Between two questions to proxies that could not say.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Wait for the requests in flight on `colour`, for `drain` at most; proxies that cannot say whether there
/// are any are asked again for as long. Answers a line when some are left, or may be.
pub async fn await_drained(
    context: &Context,
    prepared: &Prepared,
    colour: Colour,
) -> Option<String> {
    let (service, limit) = (&prepared.release.service, prepared.release.policy.drain);
    let end = Instant::now() + limit;
    let mut unsaid = String::new();
    while let Ok(answer) = timeout_at(end, context.world.proxies.drained(service, colour)).await {
        let Err(error) = answer else { return None };
        unsaid = format!(": {}", error.chain());
        sleep_until(end.min(Instant::now() + ASK_AGAIN)).await;
    }
    let limit = humantime::format_duration(limit);
    Some(format!("requests may still be in flight on `{colour}` after {limit}{unsaid}"))
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
    let keeps_running = keep && retain.scale.is_none();
    if keeps_running && prepared.release.policy.route.is_some() {
        context.note(Step::Retire, format!("`{old}` is kept running"));
        return Ok(());
    }
    let led = switch::lead_all(context, prepared).await;
    // Whatever may have led the public away from it just now, be it an earlier life.
    if context.state.taken_up || !matches!(led, Ok(false)) {
        await_drained(context, prepared, old).await;
    }
    led?;
    if prepared.release.policy.route.is_none() {
        switch::take_off(context, prepared).await?;
    }
    if keeps_running {
        context.note(Step::Retire, format!("`{old}` is kept running"));
        return Ok(());
    }
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
            match context.world.swarm.scale(&name, replicas.into()).await {
                // Somebody has removed it: nothing is left that could be kept.
                Err(error) if error.trouble == Trouble::NotFound => Ok(()),
                scaled => scaled,
            }
        }
        _ => context.world.swarm.restore(&name, None).await,
    }
}
