//! A release as a Swarm service, in the engine's own JSON. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::model::{
    Colour, ConfigMount, DeploymentId, HealthCheck, Limits, Mount, MountKind, Publish, Release,
    RestartPolicy, SecretMount, Workload, labels,
};

/// Swarm's own default of 5 s would keep a replica that died away for so long.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Ids of what a spec refers to by name, where the engine takes nothing but ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ids {
    /// Of secrets, by name.
    pub secrets: BTreeMap<String, String>,
    /// Of configs, by name.
    pub configs: BTreeMap<String, String>,
}

/// The spec of the Swarm service that runs `release` as `colour`. The same input gives the same
/// bytes.
#[must_use]
pub fn service_spec(
    release: &Release,
    colour: Colour,
    deployment: DeploymentId,
    ids: &Ids,
) -> Value {
    let workload = &release.workload;
    let ours = our_labels(release, colour, deployment);
    let merged = |theirs: &BTreeMap<String, String>| {
        let mut all = theirs.clone();
        all.extend(ours.clone());
        all
    };
    without_nulls(json!({
        "Name": release.service.swarm_name(colour),
        "Labels": merged(&workload.service_labels),
        "TaskTemplate": {
            "ContainerSpec": container_spec(release, colour, &merged(&workload.labels), ids),
            "Resources": resources(workload),
            "RestartPolicy": restart_policy(workload.restart_policy.as_ref()),
            "Placement": placement(workload),
            "Networks": some(workload.networks.iter().map(|network| {
                json!({ "Target": network.name, "Aliases": texts(&network.aliases) })
            })),
            "LogDriver": workload.logging.as_ref().map(|logging| {
                json!({ "Name": logging.driver, "Options": some_map(&logging.options) })
            }),
        },
        "Mode": { "Replicated": { "Replicas": workload.replicas } },
        // An idle colour has no traffic to spare: all of its tasks are replaced at once, and it is
        // the deployment that judges them, not Swarm.
        "UpdateConfig": { "Parallelism": 0, "FailureAction": "continue", "Order": "stop-first" },
        "EndpointSpec": endpoint(release),
    }))
}

fn our_labels(
    release: &Release,
    colour: Colour,
    deployment: DeploymentId,
) -> BTreeMap<String, String> {
    [
        (labels::MANAGED_BY, labels::VERDIGRIS.to_owned()),
        (labels::SERVICE, release.service.to_string()),
        (labels::COLOUR, colour.to_string()),
        (labels::RELEASE, release.id.to_string()),
        (labels::DEPLOYMENT, deployment.to_string()),
        (labels::PORT, release.policy.port.to_string()),
        (labels::PUBLISH, publish(release).to_owned()),
    ]
    .map(|(label, value)| (label.to_owned(), value))
    .into()
}

/// The labels of the deployment stand on the container too: they make its tasks differ from those
/// of an earlier deployment of the very same release, so that old failures are not taken for new.
fn container_spec(
    release: &Release,
    colour: Colour,
    labels: &BTreeMap<String, String>,
    ids: &Ids,
) -> Value {
    let workload = &release.workload;
    json!({
        "Image": release.image.reference(),
        "Labels": labels,
        "Command": workload.entrypoint,
        "Args": workload.command,
        "Env": environment(release, colour),
        "Hostname": workload.hostname,
        "Dir": workload.working_dir,
        "User": workload.user,
        "Groups": texts(&workload.groups),
        "TTY": workload.tty.then_some(true),
        "OpenStdin": workload.stdin_open.then_some(true),
        "ReadOnly": workload.read_only.then_some(true),
        "Init": workload.init,
        "StopSignal": workload.stop_signal,
        "StopGracePeriod": workload.stop_grace_period.map(nanos),
        "Healthcheck": workload.healthcheck.as_ref().map(healthcheck),
        "Mounts": some(workload.mounts.iter().map(mount)),
        "Hosts": texts(&workload.extra_hosts),
        "DNSConfig": dns(workload),
        "Secrets": some(workload.secrets.iter().map(|secret| self::secret(secret, ids))),
        "Configs": some(workload.configs.iter().map(|config| self::config(config, ids))),
        "CapabilityAdd": texts(&workload.cap_add),
        "CapabilityDrop": texts(&workload.cap_drop),
        "Sysctls": some_map(&workload.sysctls),
        "Ulimits": some(workload.ulimits.iter().map(|limit| {
            json!({ "Name": limit.name, "Soft": limit.soft, "Hard": limit.hard })
        })),
    })
}

fn environment(release: &Release, colour: Colour) -> Vec<String> {
    let mut variables = release.workload.environment.clone();
    variables.insert("VERDIGRIS_SERVICE".to_owned(), release.service.to_string());
    variables.insert("VERDIGRIS_COLOUR".to_owned(), colour.to_string());
    variables.insert("VERDIGRIS_RELEASE".to_owned(), release.id.to_string());
    variables.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn healthcheck(check: &HealthCheck) -> Value {
    json!({
        "Test": texts(&check.test),
        "Interval": check.interval.map(nanos),
        "Timeout": check.timeout.map(nanos),
        "StartPeriod": check.start_period.map(nanos),
        "Retries": check.retries,
    })
}

fn mount(mount: &Mount) -> Value {
    // Options without a driver are the engine's own driver's, as `docker volume create` takes them.
    let named = mount.driver.as_deref();
    let named = named.or_else(|| (!mount.driver_options.is_empty()).then_some("local"));
    let driver =
        named.map(|name| json!({ "Name": name, "Options": some_map(&mount.driver_options) }));
    json!({
        "Type": match mount.kind {
            MountKind::Bind => "bind",
            MountKind::Volume => "volume",
            MountKind::Tmpfs => "tmpfs",
        },
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only.then_some(true),
        "BindOptions": some_object(json!({ "Propagation": mount.propagation })),
        "VolumeOptions": some_object(json!({
            "NoCopy": mount.no_copy.then_some(true),
            "DriverConfig": driver,
        })),
        "TmpfsOptions": some_object(json!({
            "SizeBytes": mount.tmpfs_size,
            "Mode": mount.tmpfs_mode,
        })),
    })
}

fn dns(workload: &Workload) -> Value {
    some_object(json!({
        "Nameservers": texts(&workload.dns),
        "Search": texts(&workload.dns_search),
        "Options": texts(&workload.dns_options),
    }))
}

fn secret(secret: &SecretMount, ids: &Ids) -> Value {
    json!({
        "File": {
            "Name": secret.target, "UID": secret.uid, "GID": secret.gid, "Mode": secret.mode,
        },
        "SecretID": ids.secrets.get(&secret.name),
        "SecretName": secret.name,
    })
}

fn config(config: &ConfigMount, ids: &Ids) -> Value {
    json!({
        "File": {
            "Name": config.target, "UID": config.uid, "GID": config.gid, "Mode": config.mode,
        },
        "ConfigID": ids.configs.get(&config.name),
        "ConfigName": config.name,
    })
}

fn resources(workload: &Workload) -> Value {
    let side = |limits: &Limits| {
        some_object(json!({
            "NanoCPUs": limits.nano_cpus,
            "MemoryBytes": limits.memory,
            "Pids": limits.pids,
        }))
    };
    some_object(json!({
        "Limits": side(&workload.resources.limits),
        "Reservations": side(&workload.resources.reservations),
    }))
}

fn restart_policy(policy: Option<&RestartPolicy>) -> Value {
    let policy = policy.cloned().unwrap_or_default();
    json!({
        "Condition": policy.condition.as_deref().unwrap_or("any"),
        "Delay": nanos(policy.delay.unwrap_or(RESTART_DELAY)),
        "MaxAttempts": policy.max_attempts,
        "Window": policy.window.map(nanos),
    })
}

fn placement(workload: &Workload) -> Value {
    let placement = &workload.placement;
    some_object(json!({
        "Constraints": texts(&placement.constraints),
        "Preferences": some(placement.spread.iter().map(|descriptor| {
            json!({ "Spread": { "SpreadDescriptor": descriptor } })
        })),
        "MaxReplicas": placement.max_replicas_per_node,
    }))
}

fn publish(release: &Release) -> &'static str {
    match release.policy.publish {
        Publish::Host => "host",
        Publish::Overlay => "overlay",
    }
}

/// Each instance is addressed by itself, so no virtual address is asked for: one would need IPVS.
fn endpoint(release: &Release) -> Value {
    let ports = match release.policy.publish {
        Publish::Host => json!([{
            "Protocol": "tcp",
            "TargetPort": release.policy.port,
            "PublishMode": "host",
        }]),
        Publish::Overlay => Value::Null,
    };
    json!({ "Mode": "dnsrr", "Ports": ports })
}

/// The engine counts time in nanoseconds, signed.
fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A list, or null where it would be empty.
fn some<T: Into<Value>>(items: impl IntoIterator<Item = T>) -> Value {
    let items: Vec<Value> = items.into_iter().map(Into::into).collect();
    if items.is_empty() { Value::Null } else { Value::Array(items) }
}

fn texts(items: &[String]) -> Value {
    some(items.iter().map(String::as_str))
}

fn some_map(entries: &BTreeMap<String, String>) -> Value {
    if entries.is_empty() { Value::Null } else { json!(entries) }
}

/// The object, or null where it would be empty.
fn some_object(object: Value) -> Value {
    match without_nulls(object) {
        Value::Object(members) if members.is_empty() => Value::Null,
        object => object,
    }
}

/// What is not said is left out: the engine tells absent from null in places.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(_, member)| !member.is_null());
            let kept = kept.map(|(name, member)| (name, without_nulls(member)));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests;
