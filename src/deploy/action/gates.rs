use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio_util::sync::CancellationToken;

use super::sight::NewColour;
use super::{Context, failed, stopped};
use crate::deploy::ports::{GateContext, GateError, JunitFile};
use crate::deploy::record::{Prepared, StepResult};
use crate::model::{Failure, FailureKind, Gate, GatePoint, GateReport, Happening, Step};

/// Last lines of a failed gate's output that are shown.
const TAIL: usize = 20;

/// Run all gates of a point side by side; the first that fails stops the others.
pub async fn run(context: &Context, step: Step) -> Result<StepResult, Failure> {
    let prepared = context.prepared(step)?;
    let Some(point) = step.gate_point() else { return Ok(StepResult::Nothing) };
    let told = Arc::new(told(context, prepared, point));
    let halt = context.stop.child_token();
    let mut running: FuturesUnordered<_> = prepared
        .release
        .policy
        .gates
        .at(point)
        .iter()
        .map(|gate| run_one(context, step, gate, Arc::clone(&told), &halt))
        .collect();
    let mut first = None;
    while let Some(verdict) = running.next().await {
        if let Err(failure) = verdict {
            halt.cancel();
            first.get_or_insert(failure);
        }
    }
    first.map_or(Ok(StepResult::Nothing), Err)
}

fn told(context: &Context, prepared: &Prepared, point: GatePoint) -> GateContext {
    let through_proxies = point == GatePoint::PostIntegration;
    GateContext {
        deployment: context.id,
        point,
        release: Arc::new(prepared.release.clone()),
        colour: prepared.colour,
        instances: context.state.instances().to_vec(),
        sight: Arc::new(NewColour::of(context, prepared)),
        doors: if through_proxies { context.world.proxies.doors() } else { Vec::new() },
    }
}

async fn run_one(
    context: &Context,
    step: Step,
    gate: &Gate,
    told: Arc<GateContext>,
    halt: &CancellationToken,
) -> Result<(), Failure> {
    let began = Instant::now();
    let last = Mutex::new(VecDeque::with_capacity(TAIL));
    let output = |line: &str| {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == TAIL {
            last.pop_front();
        }
        last.push_back(line.to_owned());
        let what = Happening::Output { gate: gate.name.clone(), line: line.to_owned() };
        context.feed.say(Some(step), what);
    };
    let verdict = context.world.gates.run(gate, &told, &output, halt).await;
    if halt.is_cancelled() && verdict.is_err() {
        return Err(stopped(step));
    }
    let last: Vec<String> = last.into_inner().unwrap_or_else(PoisonError::into_inner).into();
    let (junit, failure) = match verdict {
        Ok(junit) => (reports(junit), None),
        Err(mut error) => (written(&mut error), Some(refused(step, gate, &error, last))),
    };
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let what = Happening::Gate {
        gate: gate.name.clone(),
        millis,
        failure: failure.as_ref().map(|failure| failure.message.clone()),
        junit,
    };
    context.feed.say(Some(step), what);
    failure.map_or(Ok(()), Err)
}

fn reports(files: Vec<JunitFile>) -> Vec<GateReport> {
    files.into_iter().map(|file| GateReport { name: file.name, xml: file.xml }).collect()
}

fn written(error: &mut GateError) -> Vec<GateReport> {
    match error {
        GateError::Failed { junit, .. } => reports(std::mem::take(junit)),
        GateError::TimedOut(_) | GateError::NotRun(_) => Vec::new(),
    }
}

fn refused(step: Step, gate: &Gate, error: &GateError, last: Vec<String>) -> Failure {
    let kind =
        if step == Step::PostIntegration { FailureKind::PostGate } else { FailureKind::PreGate };
    let (message, details, remedy) = match error {
        GateError::NotRun(error) => {
            let failure = failed(step, error);
            let details = [failure.details, last].concat();
            (format!("could not be run: {}", failure.message), details, failure.remedy)
        }
        GateError::Failed { .. } | GateError::TimedOut(_) => (error.to_string(), last, None),
    };
    Failure { step, kind, message: format!("gate `{}`: {message}", gate.name), details, remedy }
}
