use super::look::look;
use super::{Context, failed, stopped};
use crate::deploy::ports::{PortError, Trouble};
use crate::deploy::record::{Prepared, StepResult};
use crate::model::{Failure, FailureKind, Step};

/// Look, decide the colour, take the *before* snapshot.
pub async fn prepare(context: &Context) -> Result<StepResult, Failure> {
    let request = &context.state.request;
    let tenure = super::hold(context).await.map_err(|error| failure(&error))?;
    let mut found = tokio::select! {
        biased;
        () = context.stop.cancelled() => return Err(stopped(Step::Prepare)),
        found = look(&context.world, request) => {
            found.map_err(|error| failure(&error))?
        }
    };
    found.prepared.tenure = tenure;
    if found.unchanged() && !request.force {
        return Ok(StepResult::Unchanged);
    }
    if !found.problems.is_empty() {
        return Err(unfit(found.problems));
    }
    if !found.edits.is_empty() {
        let edits = found.edits.join("; ");
        context.note(Step::Prepare, format!("the live colour was changed by hand: {edits}"));
    }
    let Prepared { release, colour, running, .. } = &found.prepared;
    if *running {
        context.tries.see();
    }
    context
        .note(Step::Prepare, format!("`{colour}` gets {} (release {})", release.image, release.id));
    Ok(StepResult::Prepared(found.prepared))
}

fn failure(error: &PortError) -> Failure {
    let failure = failed(Step::Prepare, error);
    match error.trouble {
        Trouble::Invalid => Failure { kind: FailureKind::Invalid, ..failure },
        _ => failure,
    }
}

fn unfit(problems: Vec<String>) -> Failure {
    let message = match problems.as_slice() {
        [only] => only.clone(),
        all => format!("{} things stand in the way, {} first", all.len(), all[0]),
    };
    Failure {
        step: Step::Prepare,
        kind: FailureKind::Start,
        message,
        details: problems,
        remedy: Some("nothing was touched: put it right and deploy again".to_owned()),
    }
}
