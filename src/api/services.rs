//! One service: its live colour, its instances, its releases.

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Api;
use super::auth::Caller;
use super::body::Named;
use super::problem::Problem;
use crate::config::Scope;
use crate::deploy::control::{Refusal, RefusalKind};
use crate::deploy::history::REACH;
use crate::model::{
    Colour, DeploymentId, DeploymentView, Registration, ReleaseId, ServiceName, ServiceStatus,
};

/// The live colour of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Live {
    /// The service.
    pub service: ServiceName,
    /// Its live colour; none before its first commit.
    pub colour: Option<Colour>,
    /// Who says so.
    #[serde(default)]
    pub source: Source,
}

/// Who says which colour is live.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The registry: it was committed.
    #[default]
    Registry,
    /// The registry is away, and this is the colour that every proxy leads to.
    Proxies,
}

/// A release that was live at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PastRelease {
    /// Its id: what `rollback --to` takes.
    pub release: ReleaseId,
    /// Its image, pinned.
    pub image: Option<String>,
    /// The deployment that made it live last.
    pub deployment: DeploymentId,
    /// When that was accepted.
    #[schema(value_type = String)]
    pub opened: Timestamp,
    /// Who asked for it.
    pub by: String,
    /// The colour that runs it or is kept for it; none when nothing of it is left in the Swarm.
    pub colour: Option<Colour>,
    /// It is live now.
    pub live: bool,
}

/// How a service stands, and why the registry cannot be read, if it cannot.
async fn look(
    api: &Api,
    caller: &Caller,
    service: &ServiceName,
) -> Result<(ServiceStatus, Option<String>), Problem> {
    caller.may(&[Scope::Read], service)?;
    let status = api.control.status(Some(service)).await?;
    let found = status.services.into_iter().find(|status| status.service == *service);
    let found = found.ok_or_else(|| {
        Problem::from(Refusal::new(
            RefusalKind::Unknown,
            format!("there is no service `{service}`"),
        ))
        .remedy("`verdigris status` lists the services")
    })?;
    Ok((found, status.registry))
}

/// Only the registry could have said it.
fn away(why: String) -> Problem {
    Refusal::new(RefusalKind::Unreachable, why).into()
}

/// The live colour. While the registry is away: the one that every proxy leads to, if they agree.
#[utoipa::path(
    get, path = "/v1/services/{service}/colour",
    params(("service" = String, Path, description = "Its name")),
    responses(
        (status = 200, body = Live),
        (status = "4XX", description = "Refused", body = Refusal),
        (status = 503, description = "The registry is away, and the proxies do not say", body = Refusal),
    )
)]
pub(crate) async fn colour(
    State(api): State<Api>,
    caller: Caller,
    Named(service): Named<ServiceName>,
) -> Result<Json<Live>, Problem> {
    let (status, registry) = look(&api, &caller, &service).await?;
    let source = match registry {
        None => Source::Registry,
        Some(_) if status.live.is_some() => Source::Proxies,
        Some(why) => return Err(away(why)),
    };
    Ok(Json(Live { service, colour: status.live, source }))
}

/// The registered instances, live and idle.
#[utoipa::path(
    get, path = "/v1/services/{service}/instances",
    params(("service" = String, Path, description = "Its name")),
    responses(
        (status = 200, body = Vec<Registration>),
        (status = "4XX", description = "Refused", body = Refusal),
        (status = 503, description = "The registry is away", body = Refusal),
    )
)]
pub(crate) async fn instances(
    State(api): State<Api>,
    caller: Caller,
    Named(service): Named<ServiceName>,
) -> Result<Json<Vec<Registration>>, Problem> {
    match look(&api, &caller, &service).await? {
        (_, Some(why)) => Err(away(why)),
        (status, None) => Ok(Json(status.instances)),
    }
}

/// The releases that were live and that a rollback can go back to, the latest first.
#[utoipa::path(
    get, path = "/v1/services/{service}/releases",
    params(("service" = String, Path, description = "Its name")),
    responses(
        (status = 200, body = Vec<PastRelease>),
        (status = "4XX", description = "Refused", body = Refusal),
    )
)]
pub(crate) async fn releases(
    State(api): State<Api>,
    caller: Caller,
    Named(service): Named<ServiceName>,
) -> Result<Json<Vec<PastRelease>>, Problem> {
    let (status, _) = look(&api, &caller, &service).await?;
    let committed = api.control.committed(&service, REACH.into()).await?;
    Ok(Json(past_releases(&status, &committed)))
}

/// The releases that the deployments `committed` (newest first) made live, each once.
fn past_releases(status: &ServiceStatus, committed: &[DeploymentView]) -> Vec<PastRelease> {
    let mut releases: Vec<PastRelease> = Vec::new();
    for view in committed {
        let Some(release) = &view.release else { continue };
        if releases.iter().any(|past| past.release == *release) {
            continue;
        }
        let runs = status.releases.iter().find(|(_, running)| *running == release);
        let colour = runs.map(|(colour, _)| *colour);
        releases.push(PastRelease {
            release: release.clone(),
            image: view.image.clone(),
            deployment: view.id,
            opened: view.opened,
            by: view.by.clone(),
            colour,
            live: colour.is_some() && colour == status.live,
        });
    }
    releases
}
