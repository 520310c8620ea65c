use crate::document::{At, Problems, nearest};
use crate::model::{Limits, Placement, Resources, RestartPolicy};

use super::super::compose::{Deploy, LimitsRecord, RestartRecord};
use super::super::leaves::{Cpus, Size};

/// Compose's number of replicas when nothing is said.
const DEFAULT_REPLICAS: u32 = 1;

pub(super) fn replicas(deploy: Option<&Deploy>, problems: &mut Problems) -> u32 {
    if let Some(mode) = deploy.and_then(|deploy| deploy.mode.as_ref())
        && mode.value != "replicated"
    {
        problems.report(
            &mode.place,
            format!("the mode `{}` is not supported: both colours have replicas", mode.value),
            "use `replicated`, with `replicas`",
        );
    }
    let Some(replicas) = deploy.and_then(|deploy| deploy.replicas.as_ref()) else {
        return DEFAULT_REPLICAS;
    };
    if replicas.value.0 == 0 {
        let what = "a release without replicas cannot be tested and cannot serve";
        problems.report(&replicas.place, what, "write 1 or more");
    }
    replicas.value.0
}

pub(super) fn placement(deploy: Option<&Deploy>, problems: &mut Problems) -> Placement {
    let Some(record) = deploy.and_then(|deploy| deploy.placement.as_ref()) else {
        return Placement::default();
    };
    for constraint in &record.constraints {
        check_constraint(constraint, problems);
    }
    let max = record.max_replicas_per_node.as_ref();
    if let Some(max) = max.filter(|max| max.value.0 == 0) {
        problems.report(&max.place, "no replica could run anywhere", "write 1 or more");
    }
    Placement {
        constraints: record.constraints.iter().map(|it| it.value.clone()).collect(),
        spread: record.preferences.iter().map(|it| it.spread.value.clone()).collect(),
        max_replicas_per_node: max.map(|max| u64::from(max.value.0)),
    }
}

/// What Swarm compares, besides labels.
const ATTRIBUTES: [&str; 6] =
    ["node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch"];

fn check_constraint(constraint: &At<String>, problems: &mut Problems) {
    let text = constraint.value.as_str();
    let parts = text.split_once("==").or_else(|| text.split_once("!="));
    let Some((attribute, value)) = parts.map(|(left, right)| (left.trim(), right.trim())) else {
        let what = format!("`{text}` compares nothing");
        return problems.report(
            &constraint.place,
            what,
            "write for example `node.labels.zone == prod`",
        );
    };
    let labels = ["node.labels.", "engine.labels."];
    let label =
        labels.iter().any(|label| attribute.len() > label.len() && attribute.starts_with(label));
    if !label && !ATTRIBUTES.contains(&attribute) {
        let remedy = match meant(attribute) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known are `node.labels.NAME`, {}", ATTRIBUTES.join(", ")),
        };
        let what = format!("Swarm knows no attribute `{attribute}`");
        problems.report(&constraint.place, what, remedy);
    } else if value.is_empty() {
        problems.report(&constraint.place, "nothing is compared with", "write a value");
    }
}

/// The attribute that was probably meant. What follows `labels.` is the user's own.
fn meant(attribute: &str) -> Option<String> {
    let mut parts = attribute.splitn(3, '.');
    let (first, second) = (parts.next()?, parts.next().unwrap_or_default());
    let misspelt = nearest(second, ["labels"]).filter(|_| matches!(first, "node" | "engine"));
    match (misspelt, parts.next()) {
        (Some(labels), Some(name)) => Some(format!("{first}.{labels}.{name}")),
        _ => nearest(attribute, ATTRIBUTES).map(str::to_owned),
    }
}

pub(super) fn resources(deploy: Option<&Deploy>, problems: &mut Problems) -> Resources {
    let Some(record) = deploy.and_then(|deploy| deploy.resources.as_ref()) else {
        return Resources::default();
    };
    if let Some(pids) = record.reservations.as_ref().and_then(|side| side.pids.as_ref()) {
        problems.report(&pids.place, "processes are limited, not reserved", "move it to `limits`");
    }
    let mut side =
        |side: Option<&LimitsRecord>| side.map(|it| limits(it, problems)).unwrap_or_default();
    let (limits, reservations) = (side(record.limits.as_ref()), side(record.reservations.as_ref()));
    check_order(record.reservations.as_ref(), &limits, problems);
    Resources { limits, reservations }
}

/// What Swarm takes at least.
const LEAST_MEMORY: u64 = 4 * 1024 * 1024;
const LEAST_CPUS: i64 = 1_000_000;

fn limits(record: &LimitsRecord, problems: &mut Problems) -> Limits {
    let mut least = |too_little: bool, place, least: &str| {
        if too_little {
            problems.report(place, "it is less than Swarm takes", format!("write {least} or more"));
        }
    };
    if let Some(At { value: Cpus(cpus), place }) = &record.cpus {
        least(*cpus < LEAST_CPUS, place, "`0.001`");
    }
    if let Some(At { value: Size(memory), place }) = &record.memory {
        least(*memory < LEAST_MEMORY, place, "`4M`");
    }
    Limits {
        nano_cpus: record.cpus.as_ref().map(|cpus| cpus.value.0),
        memory: record.memory.as_ref().and_then(|size| i64::try_from(size.value.0).ok()),
        pids: record.pids.as_ref().map(|pids| i64::from(pids.value.0)),
    }
}

/// More reserved than allowed can never be placed sensibly.
fn check_order(reserved: Option<&LimitsRecord>, limits: &Limits, problems: &mut Problems) {
    let Some(reserved) = reserved else { return };
    let (what, remedy) = ("more is reserved than the limit allows", "lower it, or raise the limit");
    if let (Some(cpus), Some(limit)) = (&reserved.cpus, limits.nano_cpus)
        && cpus.value.0 > limit
    {
        problems.report(&cpus.place, what, remedy);
    }
    if let (Some(memory), Some(limit)) = (&reserved.memory, limits.memory)
        && i64::try_from(memory.value.0).is_ok_and(|memory| memory > limit)
    {
        problems.report(&memory.place, what, remedy);
    }
}

pub(super) fn restart_policy(
    deploy: Option<&Deploy>,
    problems: &mut Problems,
) -> Option<RestartPolicy> {
    const CONDITIONS: [&str; 3] = ["none", "on-failure", "any"];
    let RestartRecord { condition, delay, max_attempts, window } =
        deploy.and_then(|deploy| deploy.restart_policy.as_ref())?;
    if let Some(condition) = condition.as_ref().filter(|it| !CONDITIONS.contains(&it.as_str())) {
        let what = format!("`{}` is not a condition to restart", condition.value);
        problems.report(&condition.place, what, format!("use one of {}", CONDITIONS.join(", ")));
    }
    Some(RestartPolicy {
        condition: condition.as_ref().map(|condition| condition.value.clone()),
        delay: delay.as_ref().map(|delay| delay.0),
        max_attempts: *max_attempts,
        window: window.as_ref().map(|window| window.0),
    })
}
