//! An HTTP gate: ask every instance before the switch, every proxy on 80 and 443 after it; or somebody else,
//! whenever it is.
//!
//! All are asked at the same time, each over a connection of its own. Through a proxy the right
//! answer is not enough: the proxy must name one of the new instances as the one that answered. One
//! that is not known yet is looked for before it is taken for a stranger.

mod ask;
mod judge;
mod target;
mod tls;

use std::time::Duration;

use futures_util::future::join_all;

use self::ask::{Answer, AskError};
use self::judge::{Expected, Verdict, judge};
use self::target::Target;
use super::failed;
use crate::deploy::ports::{GateContext, GateError, Output, PortError, Trouble};
use crate::model::HttpCheck;

/// Before the second attempt; each further one waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// At most.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Failures that are told in the reason; the rest stands in the output.
const TOLD: usize = 3;

pub async fn run(
    check: &HttpCheck,
    context: &GateContext,
    output: Output<'_>,
) -> Result<(), GateError> {
    let targets = target::targets(check, context).map_err(|why| {
        PortError::new(Trouble::Invalid, format!("ask for `{}`", check.asked.as_str())).because(why)
    })?;
    let trusted = tls::trust(&targets).await?;
    let asked = targets.iter().map(|target| persist(check, context, target, &trusted, output));
    let failures: Vec<String> = join_all(asked).await.into_iter().filter_map(Result::err).collect();
    match failures.as_slice() {
        [] => Ok(()),
        all => Err(failed(summary(all))),
    }
}

/// Ask until it passes, as often as the check allows.
async fn persist(
    check: &HttpCheck,
    context: &GateContext,
    target: &Target,
    trusted: &tls::Trusted,
    output: Output<'_>,
) -> Result<(), String> {
    let mut pause = FIRST_PAUSE;
    let mut attempt = 1;
    loop {
        let outcome = ask::ask(check, target, trusted).await;
        let verdict = verdict(check, context, target, &outcome).await;
        output(&format!("{} {target}: {verdict}", check.method));
        let why = match verdict {
            Verdict::Passed(_) => return Ok(()),
            why => why,
        };
        if attempt >= check.attempts {
            let times = if attempt > 1 { format!(" ({attempt} times)") } else { String::new() };
            return Err(format!("{} {target}{times}: {why}", check.method));
        }
        attempt += 1;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What is thought of `outcome`, once it is clear who answered.
async fn verdict(
    check: &HttpCheck,
    context: &GateContext,
    target: &Target,
    outcome: &Result<Answer, AskError>,
) -> Verdict {
    let by =
        |instances| judge(check, &Expected { colour: context.colour, instances }, target, outcome);
    let first = by(&context.instances);
    let Verdict::Unknown(upstream) = &first else { return first };
    match context.sight.instances().await {
        Ok(now) => by(&now),
        Err(error) => Verdict::Failed(format!(
            "{upstream} answered, and whether it is an instance of the new release cannot be seen: {}",
            error.chain()
        )),
    }
}

fn summary(failures: &[String]) -> String {
    let told = &failures[..failures.len().min(TOLD)];
    match failures.len() - told.len() {
        0 => told.join("; "),
        more => format!("{}; and {more} more", told.join("; ")),
    }
}

#[cfg(test)]
mod tests;
