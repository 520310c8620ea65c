use crate::document::{At, Refusal, record};

use super::super::leaves::{Count, Cpus, Period, Size};
use super::Pairs;

record! {
    /// `deploy`
    pub(crate) struct Deploy is extensible refuses refuse {
        mode: Option<At<String>>,
        replicas: Option<At<Count>>,
        labels: Pairs,
        placement: Option<PlacementRecord>,
        resources: Option<ResourcesRecord>,
        restart_policy: Option<RestartRecord>,
    }

    /// `deploy.placement`
    pub(crate) struct PlacementRecord is extensible {
        constraints: Vec<At<String>>,
        preferences: Vec<Preference>,
        max_replicas_per_node: Option<At<Count>>,
    }

    /// One of `deploy.placement.preferences`
    pub(crate) struct Preference {
        spread: At<String>,
    }

    /// `deploy.resources`
    pub(crate) struct ResourcesRecord is extensible {
        limits: Option<LimitsRecord>,
        reservations: Option<LimitsRecord>,
    }

    /// One side of `deploy.resources`
    pub(crate) struct LimitsRecord is extensible refuses refuse_resource {
        cpus: Option<At<Cpus>>,
        memory: Option<At<Size>>,
        pids: Option<At<Count>>,
    }

    /// `deploy.restart_policy`
    pub(crate) struct RestartRecord is extensible {
        condition: Option<At<String>>,
        delay: Option<Period>,
        max_attempts: Option<u64>,
        window: Option<Period>,
    }
}

fn refuse(key: &str) -> Option<Refusal> {
    let (why, remedy) = match key {
        "update_config" | "rollback_config" => (
            "a release starts beside the old one and is never rolled over it",
            "remove it; `x-verdigris` says how a release becomes live",
        ),
        "endpoint_mode" => (
            "proxies ask the instances themselves, never a virtual address",
            "remove it; `x-verdigris.publish` says how instances are reached",
        ),
        _ => return None,
    };
    Some(Refusal { why, remedy })
}

fn refuse_resource(key: &str) -> Option<Refusal> {
    matches!(key, "devices" | "generic_resources").then_some(Refusal {
        why: "Verdigris passes on processors, memory and processes only",
        remedy: "label the nodes that have the device and use `deploy.placement.constraints`",
    })
}
