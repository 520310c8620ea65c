//! Keys of compose that neither Swarm nor Verdigris can honour: why, and what to do instead.

use crate::document::Refusal;

/// Keys of the file itself.
pub(crate) fn refuse_at_top(key: &str) -> Option<Refusal> {
    let (why, remedy) = match key {
        "include" => ("a stack file stands alone", "copy the service into this file"),
        "models" => ("Swarm has no models", "remove it"),
        _ if key == super::super::BLOCK => {
            ("it belongs to a service", "move it below the service, beside `image`")
        }
        _ => return None,
    };
    Some(Refusal { why, remedy })
}

/// Keys of a service.
pub(crate) fn refuse_in_service(key: &str) -> Option<Refusal> {
    let (why, remedy) = naming(key)
        .or_else(|| networking(key))
        .or_else(|| starting(key))
        .or_else(|| isolation(key))
        .or_else(|| resources(key))?;
    Some(Refusal { why, remedy })
}

type Advice = (&'static str, &'static str);

/// What runs, and under which name.
fn naming(key: &str) -> Option<Advice> {
    Some(match key {
        "build" | "develop" => (
            "Verdigris deploys images that exist",
            "build and push the image first, then name it in `image`",
        ),
        "container_name" => ("every instance of both colours needs a name of its own", "remove it"),
        "extends" => ("a stack file stands alone", "use a YAML anchor and `<<`, or copy the keys"),
        "label_file" => ("labels are read from the stack file only", "use `labels`"),
        "annotations" => ("Swarm has no annotations", "use `labels`"),
        "platform" => (
            "Swarm picks the platform by the node",
            "use `deploy.placement.constraints` with `node.platform.arch`",
        ),
        "pull_policy" => {
            ("an image is pinned by digest and pulled where it is missing", "remove it")
        }
        "profiles" => ("every service is deployed by name", "remove it"),
        "provider" | "models" => ("Swarm runs containers only", "remove it"),
        _ => return None,
    })
}

fn networking(key: &str) -> Option<Advice> {
    Some(match key {
        "ports" => (
            "the public comes in through the proxies",
            "name the container's port in `x-verdigris.port`, and `x-verdigris.route` for the public",
        ),
        "expose" => ("it has no effect in Swarm", "name the port in `x-verdigris.port`"),
        "links" | "external_links" => (
            "Swarm has no links",
            "put both services on one network, they find each other by name there",
        ),
        "network_mode" | "net" => ("Swarm attaches tasks to networks only", "use `networks`"),
        "mac_address" => ("Swarm chooses the addresses of tasks", "remove it"),
        "domainname" => ("Swarm sets the host name only", "use `hostname`"),
        _ => return None,
    })
}

/// When it starts and ends.
fn starting(key: &str) -> Option<Advice> {
    Some(match key {
        "depends_on" => (
            "Swarm starts services in any order",
            "let the service wait for what it needs, and its `healthcheck` tell when it is ready",
        ),
        "restart" => ("Swarm has a policy for it", "use `deploy.restart_policy`"),
        "scale" => ("Swarm has a key for it", "use `deploy.replicas`"),
        "post_start" | "pre_stop" => ("Swarm has no hooks", "do it in the image's entrypoint"),
        "attach" => ("there is nobody to attach", "remove it"),
        _ => return None,
    })
}

fn isolation(key: &str) -> Option<Advice> {
    Some(match key {
        "privileged" => ("Swarm has no privileged tasks", "use `cap_add`"),
        "devices" | "device_cgroup_rules" | "gpus" => {
            ("Swarm hands no devices to tasks", "bind what is needed with `volumes`")
        }
        "ipc" | "pid" | "uts" | "userns_mode" | "cgroup" | "cgroup_parent" => {
            ("Swarm tasks have namespaces and groups of their own", "remove it")
        }
        "security_opt" => ("Swarm does not pass it on", "set it for the engine, or remove it"),
        "credential_spec" | "isolation" => ("it is for Windows only", "remove it"),
        "runtime" => {
            ("Swarm uses the engine's default runtime", "set it in the engine's configuration")
        }
        "use_api_socket" => (
            "Swarm does not pass the engine's socket on",
            "bind `/var/run/docker.sock` with `volumes`",
        ),
        "volumes_from" => ("Swarm shares named volumes only", "use `volumes`"),
        "shm_size" => {
            ("Swarm cannot size it", "mount a `tmpfs` with a size on `/dev/shm` with `volumes`")
        }
        _ => return None,
    })
}

fn resources(key: &str) -> Option<Advice> {
    Some(match key {
        "mem_limit" => ("Swarm has a key for it", "use `deploy.resources.limits.memory`"),
        "mem_reservation" => {
            ("Swarm has a key for it", "use `deploy.resources.reservations.memory`")
        }
        "cpus" | "cpu_quota" | "cpu_period" | "cpu_count" | "cpu_percent" => {
            ("Swarm has a key for it", "use `deploy.resources.limits.cpus`")
        }
        "pids_limit" => ("Swarm has a key for it", "use `deploy.resources.limits.pids`"),
        "cpu_shares" | "cpuset" | "cpu_rt_runtime" | "cpu_rt_period" | "blkio_config"
        | "memswap_limit" | "mem_swappiness" | "oom_kill_disable" | "oom_score_adj"
        | "storage_opt" => ("Swarm cannot set it", "use `deploy.resources`, or remove it"),
        "logs" => ("compose calls it otherwise", "use `logging`"),
        _ => return None,
    })
}
