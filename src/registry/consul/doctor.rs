//! What `doctor` has to say about Consul.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Consul;
use super::client::Client;
use super::error::CallError;
use super::image::Entry;
use super::layout::Layout;
use super::txn::{self, Objection, Operation};
use crate::deploy::control::{Finding, Severity};
use crate::deploy::ports::Trouble;

/// How findings call it.
const SUBJECT: &str = "registry";

/// Oldest version that the tests run with.
const OLDEST: (u32, u32) = (1, 8);

/// Most services whose rights are tried, so that the trial is one transaction.
const MOST_SERVICES: usize = 50;

impl Consul {
    /// Whether Consul answers, has a leader, knows the token, gives it the rights that are needed, and
    /// is recent enough. Leaves nothing behind.
    pub async fn findings(&self) -> Vec<Finding> {
        let mut findings = match self.judge().await {
            Ok(findings) => findings,
            Err(error) => {
                let error = self.failed(error, "ask Consul how it is".to_owned());
                return vec![finding(Severity::Bad, error.chain(), error.remedy)];
            }
        };
        findings.extend(in_the_clear(&self.client));
        findings
    }

    async fn judge(&self) -> Result<Vec<Finding>, CallError> {
        let leader = self.client.get::<String>("status/leader", &[]).await?;
        if leader.value.unwrap_or_default().is_empty() {
            let words = format!("Consul at `{}` has no leader", self.client.address());
            let remedy = "see that a majority of the Consul servers is up: `consul operator raft \
                          list-peers`";
            return Ok(vec![finding(Severity::Bad, words, Some(remedy.to_owned()))]);
        }
        // The right to read, first: without it the list of services is empty.
        self.may_list().await?;
        let mut findings = self.rights().await?;
        findings.extend(self.version().await);
        Ok(findings)
    }

    /// Tries every right that is needed in a transaction that fails before it does anything.
    async fn rights(&self) -> Result<Vec<Finding>, CallError> {
        let rights = needed(&self.layout, &self.known().await?);
        let trial: Vec<_> = rights.iter().map(|right| right.trial.clone()).collect();
        let objections = match txn::run(&self.client, &trial).await {
            Err(CallError::RolledBack(objections)) => objections,
            Err(error) => return Err(error),
            Ok(_) => Vec::new(),
        };
        let denied = objections.iter().filter(|objection| objection.is_denied());
        let mut missing: Vec<_> = denied
            .filter_map(|objection: &Objection| rights.get(objection.op_index))
            .map(|right| self.missing(&right.rule, right.severity))
            .collect();
        missing.extend(self.may_not_lease().await);
        if missing.is_empty() {
            let words = format!("Consul at `{}` lets us read and write", self.client.address());
            return Ok(vec![finding(Severity::Good, words, None)]);
        }
        Ok(missing)
    }

    /// What keeps us from leases, if anything does. The right to a session shows by having one only: it
    /// is ended at once.
    async fn may_not_lease(&self) -> Option<Finding> {
        let had = match self.session("doctor").await {
            Ok(session) => session.end().await,
            Err(error) => Err(error),
        };
        let error = had.err()?;
        Some(match error.trouble {
            Trouble::Denied => self.missing("session_prefix \"\"", Severity::Bad),
            _ => finding(Severity::Bad, error.chain(), error.remedy),
        })
    }

    fn missing(&self, rule: &str, severity: Severity) -> Finding {
        let words = format!("Consul does not grant us `{rule} {{ policy = \"write\" }}`");
        let remedy = CallError::denied(&self.client, &self.layout);
        finding(severity, words, Some(remedy))
    }

    /// Names of services that are recorded.
    async fn known(&self) -> Result<Vec<String>, CallError> {
        let services = self.layout.services();
        let query = [("keys", ""), ("separator", "/")];
        let keys = self.client.get::<Vec<String>>(&format!("kv/{services}"), &query).await?;
        let names = keys.value.unwrap_or_default().into_iter().filter_map(|key| {
            let name = key.strip_prefix(services)?.strip_suffix('/')?;
            Some(name.to_owned())
        });
        Ok(names.take(MOST_SERVICES).collect())
    }

    /// Nothing to say when the token may not ask for the version.
    async fn version(&self) -> Option<Finding> {
        let agent: Agent = self.client.get("agent/self", &[]).await.ok()?.value?;
        let version = agent.config.version;
        let mut parts = version.split('.').map_while(|part| part.parse().ok());
        if (parts.next()?, parts.next()?) >= OLDEST {
            return Some(finding(Severity::Good, format!("Consul is version {version}"), None));
        }
        let (major, minor) = OLDEST;
        let words = format!("Consul is version {version}, older than any that was tested");
        let remedy = format!("use Consul {major}.{minor} or newer");
        Some(finding(Severity::Warning, words, Some(remedy)))
    }
}

/// A right, and an operation that needs it.
struct Right {
    trial: Operation,
    rule: String,
    severity: Severity,
}

fn needed(layout: &Layout, services: &[String]) -> Vec<Right> {
    let bad = |trial, rule| Right { trial, rule, severity: Severity::Bad };
    let service = |name: &str| Operation::put(layout, stranger(name));
    let key = format!("{}/doctor", layout.prefix());
    let mut rights = vec![
        // No key gets that far: this one fails, and nothing of the rest is done.
        bad(Operation::check(&key, u64::MAX), format!("key_prefix \"{}/\"", layout.prefix())),
        bad(Operation::set(&key, b"", 0), format!("key_prefix \"{}/\"", layout.prefix())),
        bad(Operation::node(layout), format!("node \"{}\"", layout.node())),
        Right {
            trial: service("verdigris-doctor"),
            rule: "service_prefix \"\"".to_owned(),
            // It may have the right for the services that it is meant for.
            severity: Severity::Warning,
        },
    ];
    let of = |name: &String| bad(service(name), format!("service \"{name}\""));
    rights.extend(services.iter().map(of));
    rights
}

/// An entry that is never made.
fn stranger(service: &str) -> Entry {
    Entry {
        id: format!("verdigris-{service}-doctor"),
        service: service.to_owned(),
        tags: Vec::new(),
        address: String::new(),
        port: 0,
        meta: BTreeMap::new(),
    }
}

/// A token that anybody on the way can read.
fn in_the_clear(client: &Client) -> Option<Finding> {
    let elsewhere = client.address().strip_prefix("http://")?;
    let near = ["127.", "localhost", "[::1]"].iter().any(|near| elsewhere.starts_with(near));
    if near || client.token_file().is_none() {
        return None;
    }
    let words = format!("the ACL token travels unencrypted to `{}`", client.address());
    let remedy = "use `https://` in `[registry] address`, or a Consul agent on this host";
    Some(finding(Severity::Warning, words, Some(remedy.to_owned())))
}

fn finding(severity: Severity, message: String, remedy: Option<String>) -> Finding {
    Finding { subject: SUBJECT.to_owned(), severity, message, remedy }
}

/// What the agent says of itself, as far as it matters.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Agent {
    config: AgentConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig {
    version: String,
}
