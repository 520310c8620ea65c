//! The compose keys of a service.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use crate::model::{
    HealthCheck, Limits, Mount, MountKind, Placement, RestartPolicy, SecretMount, Workload,
};

/// Docker counts in nanoseconds, and so does whoever reads this.
pub(super) fn period(duration: Duration) -> String {
    format!("{}ns", duration.as_nanos())
}

/// The keys that give `workload`; null where there are none.
pub(super) fn keys(workload: &Workload) -> Map<String, Json> {
    let hosts = workload.extra_hosts.iter().map(|line| match line.split_once(' ') {
        Some((ip, name)) => format!("{name}={ip}"),
        None => line.clone(),
    });
    let keys = json!({
        "entrypoint": workload.entrypoint,
        "command": workload.command,
        "environment": workload.environment,
        "labels": workload.labels,
        "healthcheck": workload.healthcheck.as_ref().map(healthcheck),
        "secrets": workload.secrets.iter().map(file).collect::<Vec<_>>(),
        "configs": workload.configs.iter().map(|config| file(&SecretMount {
            name: config.name.clone(),
            target: config.target.clone(),
            uid: config.uid.clone(),
            gid: config.gid.clone(),
            mode: config.mode,
        })).collect::<Vec<_>>(),
        "volumes": workload.mounts.iter().enumerate().map(mount).collect::<Vec<_>>(),
        "user": workload.user,
        "group_add": workload.groups,
        "working_dir": workload.working_dir,
        "hostname": workload.hostname,
        "init": workload.init,
        "tty": workload.tty,
        "stdin_open": workload.stdin_open,
        "read_only": workload.read_only,
        "cap_add": workload.cap_add,
        "cap_drop": workload.cap_drop,
        "sysctls": workload.sysctls,
        "dns": workload.dns,
        "dns_search": workload.dns_search,
        "dns_opt": workload.dns_options,
        "extra_hosts": hosts.collect::<Vec<_>>(),
        "stop_signal": workload.stop_signal,
        "stop_grace_period": workload.stop_grace_period.map(period),
        "logging": workload.logging.as_ref().map(|logging| {
            json!({ "driver": logging.driver, "options": logging.options })
        }),
        "deploy": {
            "replicas": workload.replicas,
            "labels": workload.service_labels,
            "placement": placement(&workload.placement),
            "resources": {
                "limits": limits_of(&workload.resources.limits),
                "reservations": limits_of(&workload.resources.reservations),
            },
            "restart_policy": workload.restart_policy.as_ref().map(restart_policy),
        },
    });
    match keys {
        Json::Object(keys) => keys,
        _ => Map::new(),
    }
}

fn healthcheck(check: &HealthCheck) -> Json {
    json!({
        "test": some(&check.test),
        "interval": check.interval.map(period),
        "timeout": check.timeout.map(period),
        "start_period": check.start_period.map(period),
        "retries": check.retries,
    })
}

fn some(words: &[String]) -> Option<&[String]> {
    (!words.is_empty()).then_some(words)
}

/// Those whose order in the file is their order in the workload, which an object of JSON loses.
pub(super) fn ordered(workload: &Workload) -> [(&'static str, Vec<(&str, Json)>); 2] {
    let networks = workload.networks.iter();
    let networks = networks.map(|one| (one.name.as_str(), json!({ "aliases": one.aliases })));
    let limits = workload.ulimits.iter();
    let limits =
        limits.map(|one| (one.name.as_str(), json!({ "soft": one.soft, "hard": one.hard })));
    [("networks", networks.collect()), ("ulimits", limits.collect())]
}

fn file(file: &SecretMount) -> Json {
    json!({
        "source": file.name,
        "target": file.target,
        "uid": file.uid,
        "gid": file.gid,
        "mode": mode(file.mode),
    })
}

fn mode(mode: u32) -> String {
    format!("0o{mode:o}")
}

fn mount((index, mount): (usize, &Mount)) -> Json {
    let source = match is_declared(mount) {
        true => Some(key(index)),
        false => mount.source.clone(),
    };
    let volume = mount.no_copy.then(|| json!({ "nocopy": true }));
    let tmpfs = (mount.tmpfs_size.is_some() || mount.tmpfs_mode.is_some())
        .then(|| json!({ "size": mount.tmpfs_size, "mode": mount.tmpfs_mode.map(mode) }));
    json!({
        "type": mount.kind,
        "source": source,
        "target": mount.target,
        "read_only": mount.read_only,
        "bind": mount.propagation.as_ref().map(|how| json!({ "propagation": how })),
        "volume": volume,
        "tmpfs": tmpfs,
    })
}

/// Its volume says how it is made, which is said beside the services.
fn is_declared(mount: &Mount) -> bool {
    mount.driver.is_some() || !mount.driver_options.is_empty()
}

/// With a blank, as no volume has it that a mount could name.
fn key(index: usize) -> String {
    format!("volume {index}")
}

/// The section `volumes`.
pub(super) fn volumes(workload: &Workload) -> Json {
    let mounts = workload.mounts.iter().enumerate();
    let declared = mounts.filter(|(_, mount)| is_declared(mount)).map(|(index, mount)| {
        let Mount { source, driver, driver_options, .. } = mount;
        let mut volume = BTreeMap::from([("driver_opts", json!(driver_options))]);
        // A volume that is made needs a name, and a mount of another kind none of this.
        let name = source.clone().filter(|_| mount.kind == MountKind::Volume).unwrap_or_default();
        volume.insert("name", json!(name));
        volume.extend(driver.as_ref().map(|driver| ("driver", json!(driver))));
        (key(index), json!(volume))
    });
    Json::Object(declared.collect())
}

fn placement(placement: &Placement) -> Json {
    json!({
        "constraints": placement.constraints,
        "preferences": placement.spread.iter().map(|by| json!({ "spread": by })).collect::<Vec<_>>(),
        "max_replicas_per_node": placement.max_replicas_per_node,
    })
}

fn limits_of(limits: &Limits) -> Json {
    json!({ "cpus": limits.nano_cpus.map(cpus), "memory": limits.memory, "pids": limits.pids })
}

/// What is below zero stays so, and is refused as it should be.
fn cpus(nano: i64) -> String {
    const NANO: u64 = 1_000_000_000;
    let (sign, nano) = (if nano < 0 { "-" } else { "" }, nano.unsigned_abs());
    format!("{sign}{}.{:09}", nano / NANO, nano % NANO)
}

fn restart_policy(policy: &RestartPolicy) -> Json {
    json!({
        "condition": policy.condition,
        "delay": policy.delay.map(period),
        "max_attempts": policy.max_attempts,
        "window": policy.window.map(period),
    })
}
