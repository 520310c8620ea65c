use std::str::FromStr;

use serde::Serialize;

use super::error::CliError;
use crate::client::Client;
use crate::model::{DeploymentId, DeploymentView, Phase, ServiceName};

/// How a person names a deployment: its id, the beginning of its id, or its service.
///
/// Ids begin with a digit for centuries to come (they begin with the time), names of services with
/// a letter, so the two cannot be confused.
#[derive(Debug, Clone)]
pub(super) enum Reference {
    Id(DeploymentId),
    Prefix(String),
    Service(ServiceName),
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let digits = text.replace('-', "");
        if text.starts_with(|c: char| c.is_ascii_digit())
            && digits.chars().all(|c| c.is_ascii_hexdigit())
        {
            return Ok(Self::Prefix(digits.to_lowercase()));
        }
        text.parse()
            .map(Self::Service)
            .map_err(|_| CliError::NoReference(text.to_owned()).to_string())
    }
}

/// What a program is answered that told a deployment something.
#[derive(Debug, Serialize)]
pub(super) struct Ordered {
    pub(super) deployment: DeploymentId,
}

/// How far back a prefix is searched: as far as the daemon lists.
const DEPTH: usize = 1000;

impl Reference {
    /// The deployment that is meant, which for a service is the one under way.
    pub(super) async fn under_way(&self, client: &Client) -> Result<DeploymentId, CliError> {
        match self {
            Self::Service(service) => {
                let latest = latest(client, service).await?;
                match latest {
                    Some(view) if is_open(&view) => Ok(view.id),
                    _ => Err(CliError::NothingUnderWay(service.clone())),
                }
            }
            _ => self.id(client).await,
        }
    }

    /// The deployment that is meant, which for a service is the latest.
    pub(super) async fn latest(&self, client: &Client) -> Result<DeploymentId, CliError> {
        match self {
            Self::Service(service) => {
                let latest = latest(client, service).await?;
                latest.map(|view| view.id).ok_or_else(|| CliError::NeverDeployed(service.clone()))
            }
            _ => self.id(client).await,
        }
    }

    async fn id(&self, client: &Client) -> Result<DeploymentId, CliError> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Prefix(prefix) => {
                let views = client.deployments(None, DEPTH).await?;
                only(prefix, views.iter().map(|view| view.id))
            }
            Self::Service(service) => Err(CliError::NothingUnderWay(service.clone())),
        }
    }
}

async fn latest(
    client: &Client,
    service: &ServiceName,
) -> Result<Option<DeploymentView>, CliError> {
    let views = client.deployments(Some(service), DEPTH).await?;
    // One that waits for its turn is newer than the one under way.
    let open = views.iter().rposition(is_open);
    Ok(views.into_iter().nth(open.unwrap_or(0)))
}

/// Under way, or stuck and so waiting for a person.
fn is_open(view: &DeploymentView) -> bool {
    use crate::model::Outcome;
    view.phase != Phase::Ended || matches!(view.outcome, Some(Outcome::Stuck { .. }))
}

fn only(prefix: &str, ids: impl Iterator<Item = DeploymentId>) -> Result<DeploymentId, CliError> {
    let found: Vec<DeploymentId> = ids.filter(|id| id.to_string().starts_with(prefix)).collect();
    match found.as_slice() {
        [] => Err(CliError::NoSuchPrefix(prefix.to_owned())),
        [id] => Ok(*id),
        _ => Err(CliError::Ambiguous {
            prefix: prefix.to_owned(),
            candidates: found.into_iter().take(5).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_prefixes_and_services_are_told_apart() {
        let id = DeploymentId::new();
        assert!(matches!(id.to_string().parse(), Ok(Reference::Id(found)) if found == id));
        assert!(matches!("0193ab".parse(), Ok(Reference::Prefix(prefix)) if prefix == "0193ab"));
        assert!(matches!("abc".parse(), Ok(Reference::Service(_))));
        assert!("0193xyz".parse::<Reference>().is_err());
        assert!("Books".parse::<Reference>().is_err());
    }

    #[test]
    fn a_prefix_must_be_unique() {
        let (one, other) = (DeploymentId::new(), DeploymentId::new());
        assert_eq!(only(&one.to_string(), [one, other].into_iter()).unwrap(), one);
        assert!(matches!(only("0", [one, other].into_iter()), Err(CliError::Ambiguous { .. })));
        assert!(matches!(only("f", [one, other].into_iter()), Err(CliError::NoSuchPrefix(_))));
    }
}
