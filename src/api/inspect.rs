//! The whole: status, proxies, and what the daemon's surroundings lack.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use super::Api;
use super::auth::Caller;
use super::body::{Asked, Named};
use super::problem::Problem;
use crate::config::Scope;
use crate::deploy::control::{Finding, Refusal, Rendered};
use crate::model::{ServiceName, Status};

/// Which services to show.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Shown {
    /// This one only.
    #[param(value_type = Option<String>)]
    service: Option<ServiceName>,
}

/// Services and proxies as they stand. A token for some services sees those, and all proxies. What cannot
/// be asked, the registry or the Swarm, is named among the problems.
#[utoipa::path(
    get, path = "/v1/status", params(Shown),
    responses(
        (status = 200, body = Status),
        (status = "4XX", description = "Refused", body = Refusal),
        (status = "5XX", description = "Failed", body = Refusal),
    )
)]
pub(crate) async fn status(
    State(api): State<Api>,
    caller: Caller,
    Asked(Shown { service }): Asked<Shown>,
) -> Result<Json<Status>, Problem> {
    match &service {
        Some(service) => caller.may(&[Scope::Read], service)?,
        None => caller.may_any(&[Scope::Read])?,
    }
    let mut status = api.control.status(service.as_ref()).await?;
    status.services.retain(|status| caller.sees(&status.service));
    Ok(Json(status))
}

/// A proxy's configuration as its template renders it now; nothing is changed.
#[utoipa::path(
    get, path = "/v1/proxies/{name}/render",
    params(("name" = String, Path, description = "The proxy's name in `verdigris.toml`")),
    responses(
        (status = 200, body = Rendered),
        (status = "4XX", description = "Refused", body = Refusal),
    )
)]
pub(crate) async fn render(
    State(api): State<Api>,
    caller: Caller,
    Named(name): Named<String>,
) -> Result<Json<Rendered>, Problem> {
    caller.may_all(Scope::Read)?;
    Ok(Json(api.control.render(&name).await?))
}

/// Look at everything that deployments need.
#[utoipa::path(
    get, path = "/v1/doctor",
    responses(
        (status = 200, body = Vec<Finding>),
        (status = "4XX", description = "Refused", body = Refusal),
    )
)]
pub(crate) async fn doctor(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<Finding>>, Problem> {
    caller.may_all(Scope::Read)?;
    Ok(Json(api.control.doctor().await))
}
