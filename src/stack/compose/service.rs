use std::net::IpAddr;

use crate::document::{At, Node, Place, Problems, Read, Table, Value, record};

use super::super::BLOCK;
use super::super::block::Block;
use super::super::leaves::{Address, Hostname, Image, InsidePath, Name, Period, Signal};
use super::refused::refuse_in_service;
use super::{
    CommandLine, Deploy, FileUse, HealthRecord, MountUse, NetworkUses, OneOrMany, Pairs, TmpfsUse,
};

record! {
    /// One of `services`.
    pub(crate) struct Service is extensible refuses refuse_in_service {
        image: Option<Image>,
        command: Option<CommandLine>,
        entrypoint: Option<CommandLine>,
        environment: Pairs,
        env_file: OneOrMany<EnvFile>,
        labels: Pairs,
        healthcheck: Option<HealthRecord>,
        networks: Option<NetworkUses>,
        secrets: Vec<FileUse>,
        configs: Vec<FileUse>,
        volumes: Vec<At<MountUse>>,
        tmpfs: OneOrMany<At<TmpfsUse>>,
        ulimits: Option<Ulimits>,
        user: Option<String>,
        group_add: Vec<String>,
        working_dir: Option<InsidePath>,
        hostname: Option<Hostname>,
        init: Option<bool>,
        tty: Option<bool>,
        stdin_open: Option<bool>,
        read_only: Option<bool>,
        cap_add: Vec<Name>,
        cap_drop: Vec<Name>,
        sysctls: Pairs,
        dns: OneOrMany<Address>,
        dns_search: OneOrMany<Name>,
        dns_opt: Vec<String>,
        extra_hosts: ExtraHosts,
        stop_signal: Option<Signal>,
        stop_grace_period: Option<Period>,
        logging: Option<LoggingRecord>,
        deploy: Option<Deploy>,
        block as "x-verdigris": Option<At<Block>>,
    }

    /// `logging`
    pub(crate) struct LoggingRecord is extensible {
        driver: Option<Name>,
        options: Pairs,
    }

    /// One of `env_file`, long form.
    struct EnvFileRecord {
        path: At<String>,
        required: Option<bool>,
        format: Option<At<String>>,
    }
}

/// One of `env_file`.
#[derive(Debug, Clone)]
pub(crate) struct EnvFile {
    pub path: At<String>,
    /// It must exist.
    pub required: bool,
    /// Lines are taken as they are: no quotes, no variables.
    pub raw: bool,
}

impl Read for EnvFile {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::Table(_) = node.value else {
            return Some(Self { path: At::read(node, problems)?, required: true, raw: false });
        };
        let EnvFileRecord { path, required, format } = EnvFileRecord::read(node, problems)?;
        if let Some(format) = format.as_ref().filter(|format| format.value != "raw") {
            let what = format!("`{}` is not a format of env files", format.value);
            problems.report(&format.place, what, "write `raw`, or leave it out");
        }
        Some(Self { path, required: required.unwrap_or(true), raw: format.is_some() })
    }
}

/// `ulimits`: a number for both limits, or both.
#[derive(Debug, Clone)]
pub(crate) struct Ulimits(pub Vec<(At<String>, i64, i64)>);

record! {
    /// One of `ulimits`, long form.
    struct UlimitRecord {
        soft: i64,
        hard: i64,
    }
}

/// The limits that the engine knows.
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl Read for Ulimits {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        Table::open(node, problems)?;
        let mut limits = Vec::new();
        for entry in node.entries() {
            if !ULIMITS.contains(&entry.key.as_str()) {
                let what = format!("`{}` is not a limit", entry.key);
                problems.report(&entry.place, what, format!("known are {}", ULIMITS.join(", ")));
                continue;
            }
            let both = match entry.value.value {
                Value::Table(_) => {
                    UlimitRecord::read(&entry.value, problems).map(|both| (both.soft, both.hard))
                }
                _ => i64::read(&entry.value, problems).map(|both| (both, both)),
            };
            let Some((soft, hard)) = both else { continue };
            if soft < -1 || hard < -1 || (hard != -1 && (soft == -1 || soft > hard)) {
                let what = "the soft limit is above the hard one, or below -1 (no limit)";
                problems.report(&entry.place, what, "write `soft` up to `hard`");
                continue;
            }
            limits.push((At { value: entry.key.clone(), place: entry.place.clone() }, soft, hard));
        }
        Some(Self(limits))
    }
}

/// `extra_hosts` as `IP NAME` lines: `name:ip` or `name=ip` in a list, or `name: ip` in a table.
#[derive(Debug, Clone)]
pub(crate) struct ExtraHosts(pub Vec<String>);

impl Read for ExtraHosts {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let mut hosts = Vec::new();
        if let Value::Table(entries) = &node.value {
            for entry in entries {
                let addresses: OneOrMany<At<String>> = Read::read(&entry.value, problems)?;
                let lines = addresses.0.iter();
                hosts.extend(lines.filter_map(|ip| host(&entry.key, ip, &ip.place, problems)));
            }
        } else {
            let lines: Vec<At<String>> = Read::read(node, problems)?;
            for line in &lines {
                let (name, ip) = line.split_once(['=', ':']).unwrap_or((line, ""));
                hosts.extend(host(name, ip, &line.place, problems));
            }
        }
        Some(Self(hosts))
    }

    fn absent() -> Option<Self> {
        Some(Self(Vec::new()))
    }
}

/// The `IP NAME` line.
fn host(name: &str, ip: &str, place: &Place, problems: &mut Problems) -> Option<String> {
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    if let Ok(ip) = ip.parse::<IpAddr>() {
        return Some(format!("{ip} {name}"));
    }
    if ip == "host-gateway" {
        let what = "`host-gateway` is not supported: Swarm does not know the node's gateway";
        problems.report(place, what, "write the address");
    } else {
        let what = format!("the address of `{name}` is not an IP address");
        problems.report(place, what, "write for example `name:10.0.0.1`");
    }
    None
}

/// The service asks for blue-green deployment.
pub(crate) fn has_block(node: &Node) -> bool {
    node.get(BLOCK).is_some()
}
