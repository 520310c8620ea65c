//! An `x-verdigris` block, checked and made into a policy, with every default filled in.

mod gates;

use std::time::Duration;

use crate::document::{At, Problems};
use crate::model::{Approval, Bake, Policy, Publish, Retain, RouteRule};

use super::block::{Approve, BakeRecord, Block, RetainRecord, RouteRecord};
use super::leaves::Period;

pub use gates::GATE_TIMEOUT;

/// `stable_for` when nothing is said: a crash at start shows within it.
pub const STABLE_FOR: Duration = Duration::from_secs(2);
/// `drain` when nothing is said: longer than all but unusual requests.
pub const DRAIN: Duration = Duration::from_secs(30);
/// `deadline` when nothing is said.
pub const DEADLINE: Duration = Duration::from_secs(15 * 60);
/// `approve.expires` when nothing is said.
pub const APPROVAL_EXPIRES: Duration = Duration::from_secs(60 * 60);
/// `bake.max_errors` when nothing is said: one answer in a hundred.
pub const BAKE_MAX_ERRORS: f64 = 0.01;
/// `bake.min_requests` when nothing is said: below, one error alone would decide.
pub const BAKE_MIN_REQUESTS: u64 = 20;
/// The path of a route when nothing is said: everything.
pub const ROUTE_PATH: &str = "/";

/// The policy that `block` states.
pub(super) fn policy(block: &At<Block>, problems: &mut Problems) -> Policy {
    let policy = Policy {
        port: block.port.0,
        publish: block.publish.as_ref().map_or(Publish::Host, |publish| publish.value),
        route: block.route.as_ref().map(route),
        gates: gates::gates(block.gates.as_ref(), problems),
        stable_for: or(block.stable_for.as_deref(), STABLE_FOR),
        approve: block.approve.as_ref().and_then(approval),
        bake: block.bake.as_ref().map(bake),
        drain: or(block.drain.as_ref(), DRAIN),
        retain: retain(block.retain.as_ref(), problems),
        deadline: or(block.deadline.as_deref(), DEADLINE),
    };
    check_deadline(block, &policy, problems);
    policy
}

fn or(period: Option<&Period>, default: Duration) -> Duration {
    period.map_or(default, |period| period.0)
}

fn route(record: &RouteRecord) -> RouteRule {
    RouteRule {
        hosts: record.hosts.value.0.clone(),
        path: record.path.as_ref().map_or(ROUTE_PATH, |path| &path.0).to_owned(),
        tls: record.tls.unwrap_or(true),
    }
}

fn approval(approve: &Approve) -> Option<Approval> {
    let expires = match approve {
        Approve::Asked(false) => return None,
        Approve::Asked(true) => APPROVAL_EXPIRES,
        Approve::With(record) => or(record.expires.as_ref(), APPROVAL_EXPIRES),
    };
    Some(Approval { expires })
}

fn bake(record: &BakeRecord) -> Bake {
    Bake {
        duration: record.r#for.value.0,
        max_errors: record.max_errors.as_ref().map_or(BAKE_MAX_ERRORS, |ratio| ratio.0),
        min_requests: record
            .min_requests
            .as_ref()
            .map_or(BAKE_MIN_REQUESTS, |count| u64::from(count.0)),
    }
}

/// Without the key nothing is kept; with it, the old colour, unless it says `releases: 0`.
fn retain(record: Option<&RetainRecord>, problems: &mut Problems) -> Retain {
    let Some(record) = record else { return Retain { releases: 0, scale: None, duration: None } };
    let releases = match &record.releases {
        None => 1,
        Some(At { value, .. }) if value.0 <= 1 => u8::from(value.0 == 1),
        Some(At { value, place }) => {
            let what = format!("{} releases cannot be kept: there are two colours", value.0);
            problems.report(place, what, "write 1 or 0");
            1
        }
    };
    Retain {
        releases,
        scale: record.scale.as_ref().map(|scale| scale.0),
        duration: record.r#for.as_ref().map(|period| period.0),
    }
}

/// A deadline that leaves no time for what must be waited for could never be met.
fn check_deadline(block: &Block, policy: &Policy, problems: &mut Problems) {
    let deadline = humantime::format_duration(policy.deadline);
    if let Some(written) = block.deadline.as_ref().filter(|deadline| deadline.0.is_zero()) {
        return problems.report(&written.place, "it leaves no time", "write for example `15m`");
    }
    let waits = [block.stable_for.as_ref(), block.bake.as_ref().map(|bake| &bake.r#for)];
    for wait in waits.into_iter().flatten().filter(|wait| wait.0 >= policy.deadline) {
        problems.report(
            &wait.place,
            format!("no deployment could commit before its deadline of {deadline}"),
            "shorten it, or raise `deadline`",
        );
    }
    // Where nothing is said of it, the wait is there all the same.
    if let (Some(written), None) = (&block.deadline, &block.stable_for)
        && policy.stable_for >= policy.deadline
    {
        let stable_for = humantime::format_duration(policy.stable_for);
        problems.report(
            &written.place,
            format!("no deployment could commit in {deadline}: `stable_for` is {stable_for}"),
            "raise it, or write a shorter `stable_for`",
        );
    }
}
