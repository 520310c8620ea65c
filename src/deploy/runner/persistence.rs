use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use crate::deploy::action::{self, Context};
use crate::deploy::ports::{PortError, PortResult, Trouble};
use crate::deploy::record::StepResult;
use crate::model::{Failure, FailureKind, Step};

/// Retries of an undo, or of a step after the commit, before it counts as stuck: about ten seconds.
fn persistently() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(9)
}

/// Undo `step`, again and again where that may help, and until the daemon shuts down.
pub async fn undo(context: &Context, step: Step) -> PortResult<()> {
    let mut delays = persistently().build();
    loop {
        let Err(error) = action::undo(context, step).await else { return Ok(()) };
        let delay = delays.next().filter(|_| passing(&error));
        let Some(delay) = delay else { return Err(error) };
        if !rest(&context.shutdown, delay).await {
            return Err(error);
        }
    }
}

/// Do `step`. After the commit there is only forward: it is tried again for a while before it is stuck.
pub async fn perform(context: &Context, step: Step) -> Result<StepResult, Failure> {
    if context.state.committed() {
        insist(context, step).await
    } else {
        action::perform(context, step).await
    }
}

async fn insist(context: &Context, step: Step) -> Result<StepResult, Failure> {
    let mut delays = persistently().build();
    loop {
        let failure = match action::perform(context, step).await {
            Ok(result) => return Ok(result),
            Err(failure) if failure.kind == FailureKind::Superseded => return Err(failure),
            Err(failure) => failure,
        };
        let Some(delay) = delays.next() else { return Err(failure) };
        if !rest(&context.stop, delay).await {
            return Err(failure);
        }
    }
}

/// Rest for `delay`; false when `called` away from it.
async fn rest(called: &CancellationToken, delay: Duration) -> bool {
    tokio::select! {
        biased;
        () = called.cancelled() => false,
        () = tokio::time::sleep(delay) => true,
    }
}

/// Whether trying again may help.
fn passing(error: &PortError) -> bool {
    !matches!(error.trouble, Trouble::Denied | Trouble::Invalid | Trouble::Superseded)
}
