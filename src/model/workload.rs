use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What runs: all that the compose file says of a service and Swarm can do. The image is not part of
/// it (see `Release`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Workload {
    /// Replaces the image's ENTRYPOINT (compose `entrypoint`; Swarm calls this `command`).
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's CMD (compose `command`; Swarm calls this `args`).
    pub command: Option<Vec<String>>,
    /// Environment, `env_file` merged in.
    pub environment: BTreeMap<String, String>,
    /// Container labels (compose `labels`).
    pub labels: BTreeMap<String, String>,
    /// Labels of the Swarm service (compose `deploy.labels`).
    pub service_labels: BTreeMap<String, String>,
    /// Health check; none leaves the image's own.
    pub healthcheck: Option<HealthCheck>,
    /// Networks, by the name they have in the Swarm.
    pub networks: Vec<NetworkAttachment>,
    /// Secrets, by the name they have in the Swarm.
    pub secrets: Vec<SecretMount>,
    /// Configs, by the name they have in the Swarm.
    pub configs: Vec<ConfigMount>,
    /// Volumes, binds and tmpfs.
    pub mounts: Vec<Mount>,
    /// `ulimits`
    pub ulimits: Vec<Ulimit>,
    /// `user`
    pub user: Option<String>,
    /// `group_add`
    pub groups: Vec<String>,
    /// `working_dir`
    pub working_dir: Option<String>,
    /// `hostname`
    pub hostname: Option<String>,
    /// `init`
    pub init: Option<bool>,
    /// `tty`
    pub tty: bool,
    /// `stdin_open`
    pub stdin_open: bool,
    /// `read_only`
    pub read_only: bool,
    /// `cap_add`
    pub cap_add: Vec<String>,
    /// `cap_drop`
    pub cap_drop: Vec<String>,
    /// `sysctls`
    pub sysctls: BTreeMap<String, String>,
    /// `dns`
    pub dns: Vec<String>,
    /// `dns_search`
    pub dns_search: Vec<String>,
    /// `dns_opt`
    pub dns_options: Vec<String>,
    /// `extra_hosts`, as `IP NAME` lines.
    pub extra_hosts: Vec<String>,
    /// `stop_signal`
    pub stop_signal: Option<String>,
    /// `stop_grace_period`
    #[serde(with = "humantime_serde")]
    #[schema(value_type = Option<String>)]
    pub stop_grace_period: Option<Duration>,
    /// `logging`
    pub logging: Option<Logging>,
    /// `deploy.replicas`
    pub replicas: u32,
    /// `deploy.placement`
    pub placement: Placement,
    /// `deploy.resources`
    pub resources: Resources,
    /// `deploy.restart_policy`
    pub restart_policy: Option<RestartPolicy>,
}

/// `healthcheck`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct HealthCheck {
    /// `["CMD", …]`, `["CMD-SHELL", …]`, or `["NONE"]` to switch the image's own off.
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = Option<String>)]
    pub interval: Option<Duration>,
    /// Of one check.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = Option<String>)]
    pub timeout: Option<Duration>,
    /// Failures count only after this long.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = Option<String>)]
    pub start_period: Option<Duration>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<u32>,
}

/// One of a service's networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct NetworkAttachment {
    /// Name in the Swarm.
    pub name: String,
    /// Names under which the tasks are found on it.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// A secret as a file in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SecretMount {
    /// Name in the Swarm.
    pub name: String,
    /// File name under `/run/secrets`, or an absolute path.
    pub target: String,
    /// Owner.
    pub uid: String,
    /// Group.
    pub gid: String,
    /// File mode (0o444 unless said).
    pub mode: u32,
}

/// A config as a file in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ConfigMount {
    /// Name in the Swarm.
    pub name: String,
    /// Path in the container.
    pub target: String,
    /// Owner.
    pub uid: String,
    /// Group.
    pub gid: String,
    /// File mode (0o444 unless said).
    pub mode: u32,
}

/// The kinds of mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A directory of the node.
    Bind,
    /// A volume.
    Volume,
    /// Memory.
    Tmpfs,
}

/// A volume, bind or tmpfs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Mount {
    /// Its kind.
    pub kind: MountKind,
    /// Path on the node, or volume name; none for tmpfs and anonymous volumes.
    pub source: Option<String>,
    /// Path in the container.
    pub target: String,
    /// Not writable.
    #[serde(default)]
    pub read_only: bool,
    /// A new volume does not get what the image has at that path.
    #[serde(default)]
    pub no_copy: bool,
    /// Propagation of a bind: `rprivate`, `rslave`, …; none is the engine's default.
    #[serde(default)]
    pub propagation: Option<String>,
    /// Size limit of a tmpfs, bytes.
    #[serde(default)]
    pub tmpfs_size: Option<u64>,
    /// File mode of a tmpfs.
    #[serde(default)]
    pub tmpfs_mode: Option<u32>,
    /// Driver of a volume.
    #[serde(default)]
    pub driver: Option<String>,
    /// Options of the volume's driver.
    #[serde(default)]
    pub driver_options: BTreeMap<String, String>,
}

/// One of `ulimits`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    pub name: String,
    /// Soft limit.
    pub soft: i64,
    /// Hard limit.
    pub hard: i64,
}

/// `logging`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Logging {
    /// The log driver; none is the engine's default.
    pub driver: Option<String>,
    /// Its options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// `deploy.placement`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Placement {
    /// `constraints`
    pub constraints: Vec<String>,
    /// `preferences`, the `spread` descriptors.
    pub spread: Vec<String>,
    /// `max_replicas_per_node`
    pub max_replicas_per_node: Option<u64>,
}

/// `deploy.resources`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Resources {
    /// `limits`
    pub limits: Limits,
    /// `reservations`
    pub reservations: Limits,
}

/// One side of `deploy.resources`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Limits {
    /// Billionths of a processor.
    pub nano_cpus: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Processes.
    pub pids: Option<i64>,
}

/// `deploy.restart_policy`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct RestartPolicy {
    /// `none`, `on-failure` or `any`.
    pub condition: Option<String>,
    /// Between restarts.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = Option<String>)]
    pub delay: Option<Duration>,
    /// How many.
    pub max_attempts: Option<u64>,
    /// Within this long.
    #[serde(with = "humantime_serde")]
    #[schema(value_type = Option<String>)]
    pub window: Option<Duration>,
}
