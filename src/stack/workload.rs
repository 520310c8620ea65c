//! A service's compose keys, checked against each other and made into a workload.

mod environment;
mod files;
mod mounts;
mod placement;

use std::collections::BTreeMap;
use std::path::Path;

use crate::document::{At, Place, Problems};
use crate::model::{HealthCheck, Logging, NetworkAttachment, Ulimit, Workload};

use super::compose::{HealthRecord, LoggingRecord, NetworkUses, Pairs, Service, Ulimits};
use super::declared::{Declared, Section};
use super::interpolate::Variables;
use super::leaves::Period;

/// What a service is read against.
pub(super) struct Surroundings<'a> {
    pub declared: Declared<'a>,
    pub variables: &'a Variables,
    /// Where relative paths begin.
    pub base: &'a Path,
}

/// The workload of `service`; what is wrong is reported and left out.
pub(super) fn workload(
    service: &Service,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> Workload {
    let deploy = service.deploy.as_ref();
    Workload {
        entrypoint: service.entrypoint.as_ref().map(|line| line.0.clone()),
        command: service.command.as_ref().map(|line| line.0.clone()),
        environment: environment::environment(service, around, problems),
        labels: labels(&service.labels, problems),
        service_labels: deploy.map(|it| labels(&it.labels, problems)).unwrap_or_default(),
        healthcheck: service.healthcheck.as_ref().map(|it| healthcheck(it, problems)),
        networks: networks(service.networks.as_ref(), &around.declared, problems),
        secrets: files::secrets(&service.secrets, &around.declared, problems),
        configs: files::configs(&service.configs, &around.declared, problems),
        mounts: mounts::mounts(service, &around.declared, problems),
        ulimits: service.ulimits.as_ref().map(ulimits).unwrap_or_default(),
        user: service.user.clone(),
        groups: service.group_add.clone(),
        working_dir: service.working_dir.as_ref().map(|path| path.0.clone()),
        hostname: service.hostname.as_ref().map(|name| name.0.clone()),
        init: service.init,
        tty: service.tty.unwrap_or_default(),
        stdin_open: service.stdin_open.unwrap_or_default(),
        read_only: service.read_only.unwrap_or_default(),
        cap_add: service.cap_add.iter().map(|name| name.0.clone()).collect(),
        cap_drop: service.cap_drop.iter().map(|name| name.0.clone()).collect(),
        sysctls: table(&service.sysctls),
        dns: service.dns.0.iter().map(|address| address.0.to_string()).collect(),
        dns_search: service.dns_search.0.iter().map(|name| name.0.clone()).collect(),
        dns_options: service.dns_opt.clone(),
        extra_hosts: service.extra_hosts.0.clone(),
        stop_signal: service.stop_signal.as_ref().map(|signal| signal.0.clone()),
        stop_grace_period: service.stop_grace_period.as_ref().map(|period| period.0),
        logging: service.logging.as_ref().map(logging),
        replicas: placement::replicas(deploy, problems),
        placement: placement::placement(deploy, problems),
        resources: placement::resources(deploy, problems),
        restart_policy: placement::restart_policy(deploy, problems),
    }
}

fn table(pairs: &Pairs) -> BTreeMap<String, String> {
    let pairs = pairs.0.iter();
    pairs.map(|pair| (pair.key.value.clone(), pair.value.clone().unwrap_or_default())).collect()
}

/// Prefix of the labels that Verdigris itself sets.
const OUR_LABELS: &str = "verdigris.";

fn labels(pairs: &Pairs, problems: &mut Problems) -> BTreeMap<String, String> {
    for pair in pairs.0.iter().filter(|pair| pair.key.starts_with(OUR_LABELS)) {
        let what = format!("labels that begin with `{OUR_LABELS}` are set by Verdigris itself");
        problems.report(&pair.key.place, what, "choose another name");
    }
    table(pairs)
}

fn healthcheck(record: &HealthRecord, problems: &mut Problems) -> HealthCheck {
    let mut test = record.test.as_ref().map(|test| test.value.0.clone()).unwrap_or_default();
    if record.disable == Some(true) {
        if let Some(test) = &record.test {
            let what = "a disabled health check has a `test`";
            problems.report(&test.place, what, "remove `test` or `disable`");
        }
        test = vec!["NONE".to_owned()];
    }
    let mut period = |period: &Option<At<Period>>| {
        let period = period.as_ref()?;
        // The engine's own lower bound.
        if !period.0.is_zero() && period.0.as_millis() == 0 {
            problems.report(
                &period.place,
                "it is shorter than a millisecond",
                "write `1ms` or more",
            );
        }
        Some(period.0)
    };
    HealthCheck {
        interval: period(&record.interval),
        timeout: period(&record.timeout),
        start_period: period(&record.start_period),
        retries: record.retries,
        test,
    }
}

/// The network that compose attaches a service to which names none.
const DEFAULT_NETWORK: &str = "default";

fn networks(
    uses: Option<&NetworkUses>,
    declared: &Declared<'_>,
    problems: &mut Problems,
) -> Vec<NetworkAttachment> {
    let Some(NetworkUses(uses)) = uses else {
        if !declared.has(Section::Networks, DEFAULT_NETWORK) {
            return Vec::new();
        }
        let key = format!("networks.{DEFAULT_NETWORK}");
        let key = At { value: DEFAULT_NETWORK.to_owned(), place: Place::start("").below(&key) };
        let name = declared.resolve(Section::Networks, &key, problems);
        return name
            .map(|name| NetworkAttachment { name, aliases: Vec::new() })
            .into_iter()
            .collect();
    };
    let mut attachments: Vec<NetworkAttachment> = Vec::new();
    for (key, options) in uses {
        let Some(name) = declared.resolve(Section::Networks, key, problems) else { continue };
        if attachments.iter().any(|earlier| earlier.name == name) {
            let what = format!("the network `{name}` is given twice");
            problems.report(&key.place, what, "remove one of the two");
            continue;
        }
        let aliases = options.aliases.iter().map(|alias| alias.0.clone()).collect();
        attachments.push(NetworkAttachment { name, aliases });
    }
    attachments
}

fn ulimits(limits: &Ulimits) -> Vec<Ulimit> {
    let limit = |(name, soft, hard): &(At<String>, i64, i64)| Ulimit {
        name: name.value.clone(),
        soft: *soft,
        hard: *hard,
    };
    limits.0.iter().map(limit).collect()
}

fn logging(record: &LoggingRecord) -> Logging {
    Logging {
        driver: record.driver.as_ref().map(|name| name.0.clone()),
        options: table(&record.options),
    }
}
