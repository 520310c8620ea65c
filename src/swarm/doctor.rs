//! What `doctor` says of an engine.

use std::path::Path;

use bollard::models::{LocalNodeState, SwarmInfo, SystemInfo, SystemVersion};

use super::DockerSwarm;
use super::node::{self, Node};
use crate::deploy::control::{Finding, Severity};
use crate::docker::{Client, Endpoint, Error};

/// The oldest API that has all that is used: Engine 20.10.
const OLDEST: (u16, u16) = (1, 41);

/// Look at the engine behind `client`, called `subject`: is it there, and new enough.
pub async fn engine(client: &Client, subject: &str) -> Finding {
    match version(client).await {
        Ok(version) => judge_version(&version, client.endpoint(), subject),
        Err(error) => unreachable(error, subject),
    }
}

async fn version(client: &Client) -> Result<SystemVersion, Error> {
    client.get("/version").value().await
}

async fn info(client: &Client) -> Result<SystemInfo, Error> {
    client.get("/info").value().await
}

impl DockerSwarm {
    /// Look at everything of the Swarm that deployments need.
    pub async fn examine(&self) -> Vec<Finding> {
        let engine = engine(&self.client, "engine").await;
        if engine.severity == Severity::Bad {
            return vec![engine];
        }
        let mut findings = vec![engine];
        match info(&self.client).await {
            Ok(info) => findings.extend(self.swarm(&info.swarm.unwrap_or_default()).await),
            Err(error) => findings.push(unreachable(error, "swarm")),
        }
        if matches!(self.client.endpoint(), Endpoint::Unix(_)) {
            findings.extend(ipvs(Path::new("/")));
        }
        findings
    }

    async fn swarm(&self, info: &SwarmInfo) -> Vec<Finding> {
        if let Some(finding) = not_a_manager(info) {
            return vec![finding];
        }
        match node::list(&self.client).await {
            Ok(nodes) => judge_nodes(&nodes),
            Err(error) => vec![unreachable(error, "swarm")],
        }
    }
}

pub(super) fn judge_version(
    version: &SystemVersion,
    endpoint: &Endpoint,
    subject: &str,
) -> Finding {
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let (version, spoken) = (said(&version.version), said(&version.api_version));
    let api = spoken.split_once('.');
    let api = api.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    let message = format!("Docker Engine {version} at `{endpoint}` (API {spoken})");
    if api.is_some_and(|api| api < OLDEST) {
        return Finding {
            subject: subject.to_owned(),
            severity: Severity::Bad,
            message: format!("{message} is too old"),
            remedy: Some("install Docker Engine 20.10 or newer".to_owned()),
        };
    }
    good(subject, message)
}

pub(super) fn not_a_manager(info: &SwarmInfo) -> Option<Finding> {
    let bad = |message: &str, remedy: &str| {
        Some(Finding {
            subject: "swarm".to_owned(),
            severity: Severity::Bad,
            message: message.to_owned(),
            remedy: Some(remedy.to_owned()),
        })
    };
    let state = info.local_node_state.unwrap_or(LocalNodeState::INACTIVE);
    match (state, info.control_available.unwrap_or(false)) {
        (LocalNodeState::ACTIVE, true) => None,
        (LocalNodeState::ACTIVE, false) => bad(
            "the engine is a worker of its Swarm",
            "point `[swarm] host` at a manager, or run `docker node promote` there",
        ),
        (LocalNodeState::LOCKED, _) => {
            bad("the Swarm is locked", "run `docker swarm unlock` on the engine")
        }
        (LocalNodeState::PENDING | LocalNodeState::ERROR, _) => {
            bad("the engine does not get into its Swarm", "see `docker info` and the engine's log")
        }
        _ => bad("the engine is in no Swarm", "run `docker swarm init` on it"),
    }
}

pub(super) fn judge_nodes(nodes: &[Node]) -> Vec<Finding> {
    let ready = nodes.iter().filter(|node| node.ready && node.active);
    let mut findings =
        vec![good("swarm", format!("{} of {} nodes ready and active", ready.count(), nodes.len()))];
    for node in nodes.iter().filter(|node| !node.ready) {
        findings.push(Finding {
            subject: format!("node {}", node.hostname),
            severity: Severity::Warning,
            message: "does not answer to the managers".to_owned(),
            remedy: Some(format!(
                "start its engine, or remove it with `docker node rm --force {}`",
                node.hostname
            )),
        });
    }
    let unaddressed = nodes.iter().filter(|node| node.address.is_none());
    findings.extend(unaddressed.map(|node| Finding {
        subject: format!("node {}", node.hostname),
        severity: Severity::Bad,
        message: "has no address at which its published ports could be reached".to_owned(),
        remedy: Some("join it with `--advertise-addr`".to_owned()),
    }));
    findings
}

/// Without IPVS a Swarm's virtual addresses and its ingress carry nothing, with nothing said about
/// it. Verdigris needs neither, but a stack next to it may.
fn ipvs(root: &Path) -> Option<Finding> {
    if root.join("proc/net/ip_vs").exists() || has_module(root) {
        return None;
    }
    Some(Finding {
        subject: "kernel".to_owned(),
        severity: Severity::Warning,
        message: "has no IPVS: ingress ports and virtual addresses of Swarm services carry no traffic here (`publish: host` and `publish: overlay` do without)".to_owned(),
        remedy: Some("load it with `modprobe ip_vs`, where the kernel has it".to_owned()),
    })
}

fn has_module(root: &Path) -> bool {
    let release = std::fs::read_to_string(root.join("proc/sys/kernel/osrelease"));
    let Ok(release) = release else {
        return false;
    };
    let modules = root.join("lib/modules").join(release.trim());
    ["modules.dep", "modules.builtin"].iter().any(|list| {
        std::fs::read_to_string(modules.join(list))
            .is_ok_and(|text| text.lines().any(|line| line.contains("/ip_vs.ko")))
    })
}

fn good(subject: &str, message: String) -> Finding {
    Finding { subject: subject.to_owned(), severity: Severity::Good, message, remedy: None }
}

fn unreachable(error: Error, subject: &str) -> Finding {
    let error = error.during("ask the Docker engine");
    Finding {
        subject: subject.to_owned(),
        severity: Severity::Bad,
        message: error.chain(),
        remedy: error.remedy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_state_that_is_no_manager_has_a_remedy() {
        let info = |state: &str, control_available: bool| -> SwarmInfo {
            serde_json::from_value(serde_json::json!({
                "LocalNodeState": state, "ControlAvailable": control_available,
            }))
            .unwrap()
        };
        assert_eq!(not_a_manager(&info("active", true)), None);
        for (state, remedy) in [
            ("inactive", "docker swarm init"),
            ("active", "docker node promote"),
            ("locked", "docker swarm unlock"),
        ] {
            let finding = not_a_manager(&info(state, false)).unwrap();
            assert!(finding.remedy.unwrap().contains(remedy), "{state}");
        }
    }

    #[test]
    fn ipvs_is_found_loaded_and_as_a_module_and_missed_otherwise() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/sys/kernel/osrelease", "6.1.0\n");
        put("lib/modules/6.1.0/modules.dep", "kernel/fs/ext4/ext4.ko:\n");
        assert_eq!(ipvs(root.path()).unwrap().severity, Severity::Warning);
        put("lib/modules/6.1.0/modules.dep", "kernel/net/netfilter/ipvs/ip_vs.ko: a.ko\n");
        assert_eq!(ipvs(root.path()), None);
        fs::remove_dir_all(root.path().join("lib")).unwrap();
        put("proc/net/ip_vs", "");
        assert_eq!(ipvs(root.path()), None);
    }

    #[test]
    fn an_old_engine_is_told_to_be_renewed() {
        let judged = |api: &str| {
            let version = SystemVersion { api_version: Some(api.to_owned()), ..Default::default() };
            judge_version(&version, &Endpoint::Unix("/s".into()), "engine").severity
        };
        assert_eq!(judged("1.40"), Severity::Bad);
        assert_eq!(judged("1.41"), Severity::Good);
        assert_eq!(judged("1.51"), Severity::Good);
    }
}
