//! What makes no sense is refused at the door, before anything is touched.

use std::time::Duration;

use super::problem::Problem;
use crate::model::{Kind, Request};
use crate::stack;

/// What a stack file can say, too: Docker counts in signed 64 bit nanoseconds.
const LONGEST: Duration = Duration::from_nanos(i64::MAX.unsigned_abs());

/// `request` asks for something that can be done: what `verdigris check` would refuse in a stack file
/// is refused here in the same words.
pub(crate) fn sound(request: &Request) -> Result<(), Problem> {
    if request.deadline.is_some_and(|deadline| deadline.is_zero() || deadline > LONGEST) {
        let problem = Problem::invalid("`deadline` leaves no time, or more than 292 years");
        return Err(problem.remedy("send for example `15m`"));
    }
    let draft = match &request.kind {
        Kind::Deploy { draft } => draft,
        Kind::Rollback { release: Some(id), .. } if id.is_empty() => {
            let problem = Problem::invalid("`release` is empty");
            return Err(problem.remedy("name one, or leave it out to go back to the one before"));
        }
        Kind::Rollback { .. } => return Ok(()),
    };
    let Err(problems) = stack::check(draft) else { return Ok(()) };
    let lines = problems.iter().map(|problem| match problem.remedy.as_str() {
        "" => format!("{}: {}", problem.place.key, problem.what),
        remedy => format!("{}: {}; {remedy}", problem.place.key, problem.what),
    });
    Err(Problem::invalid("the draft cannot be deployed; as a stack file it would be refused")
        .details(lines.collect())
        .remedy(
            "correct what these keys of a stack file say; `/v1/openapi.json` describes the body",
        ))
}
