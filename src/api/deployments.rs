//! Deployments: asked for, looked at, and acted upon.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::Api;
use super::audit::{self, Change};
use super::auth::Caller;
use super::body::{Asked, Body, Named, Shape};
use super::problem::Problem;
use super::sound::sound;
use crate::config::Scope;
use crate::deploy::control::{Refusal, RefusalKind, Submitted};
use crate::model::{DeploymentId, DeploymentView, Kind, OnDisconnect, Plan, Request, ServiceName};

/// Ask for a deployment or a rollback.
#[utoipa::path(
    post, path = "/v1/deployments", request_body = Request,
    responses(
        (status = 202, description = "Taken", body = Submitted),
        (status = "4XX", description = "Refused", body = Refusal),
        (status = "5XX", description = "Failed", body = Refusal),
    )
)]
pub(crate) async fn submit(
    State(api): State<Api>,
    caller: Caller,
    Body(mut request): Body<Request>,
) -> Result<(StatusCode, Json<Submitted>), Problem> {
    let service = request.service().clone();
    let claimed = std::mem::take(&mut request.by);
    let verb = match request.kind {
        Kind::Deploy { .. } => "deploy",
        Kind::Rollback { .. } => "rollback",
    };
    request.by = caller.name(&claimed);
    let result = match caller.may(&[Scope::Deploy], &service) {
        Ok(()) => submit_sound(&api, request).await,
        Err(problem) => Err(problem),
    };
    let id = result.as_ref().ok().map(|submitted| submitted.deployment.to_string());
    let change = Change { verb, service: &service, claimed: &claimed };
    audit::record(&caller, change, id.as_deref(), &result);
    Ok((StatusCode::ACCEPTED, Json(result?)))
}

async fn submit_sound(api: &Api, request: Request) -> Result<Submitted, Problem> {
    sound(&request)?;
    let api = api.clone();
    // A client that vanishes takes its handler along; that it is expected must not be forgotten with it.
    let submission = tokio::spawn(async move { submit_held(&api, request).await });
    submission.await.unwrap_or_else(|defect| {
        let what = format!("the submission broke down: {defect}");
        Err(Refusal::new(RefusalKind::Internal, what).into())
    })
}

async fn submit_held(api: &Api, request: Request) -> Result<Submitted, Problem> {
    let on_disconnect = request.on_disconnect;
    let submitted = api.control.submit(request).await?;
    if on_disconnect == OnDisconnect::Revert && !submitted.attached {
        api.holds.expect(submitted.deployment);
    }
    Ok(submitted)
}

/// What a deployment or a rollback would do.
#[utoipa::path(
    post, path = "/v1/plan", request_body = Request,
    responses(
        (status = 200, body = Plan),
        (status = "4XX", description = "Refused", body = Refusal),
        (status = "5XX", description = "Failed", body = Refusal),
    )
)]
pub(crate) async fn plan(
    State(api): State<Api>,
    caller: Caller,
    Body(request): Body<Request>,
) -> Result<Json<Plan>, Problem> {
    caller.may(&[Scope::Deploy], request.service())?;
    sound(&request)?;
    Ok(Json(api.control.plan(request).await?))
}

/// Which deployments to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Listed {
    /// Of this service only.
    #[param(value_type = Option<String>)]
    service: Option<ServiceName>,
    /// How many, the newest first; 20 unless said, at most 1000.
    limit: Option<usize>,
}

/// How many deployments are listed unless said.
const FEW: usize = 20;
/// The longest list that is answered.
pub(crate) const MANY: usize = 1000;

/// The newest deployments.
#[utoipa::path(
    get, path = "/v1/deployments", params(Listed),
    responses(
        (status = 200, body = Vec<DeploymentView>),
        (status = "4XX", description = "Refused", body = Refusal),
    )
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Asked(Listed { service, limit }): Asked<Listed>,
) -> Result<Json<Vec<DeploymentView>>, Problem> {
    let limit = limit.unwrap_or(FEW);
    if !(1..=MANY).contains(&limit) {
        return Err(Problem::invalid(format!("`limit` is {limit}, not from 1 to {MANY}")));
    }
    match &service {
        Some(service) => caller.may(&[Scope::Read], service)?,
        None => caller.may_any(&[Scope::Read])?,
    }
    // Those that are not for this caller do not count.
    let looked_at = if service.is_some() || caller.sees_all() { limit } else { MANY };
    let mut views = api.control.history(service.as_ref(), looked_at).await?;
    views.retain(|view| caller.sees(&view.service));
    views.truncate(limit);
    Ok(Json(views))
}

/// One deployment.
#[utoipa::path(
    get, path = "/v1/deployments/{id}", params(("id" = String, Path, description = "Its id")),
    responses(
        (status = 200, body = DeploymentView),
        (status = "4XX", description = "Refused", body = Refusal),
    )
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<DeploymentId>,
) -> Result<Json<DeploymentView>, Problem> {
    readable(&api, &caller, id).await.map(Json)
}

/// The deployment `id`, if `caller` may look at it.
pub(crate) async fn readable(
    api: &Api,
    caller: &Caller,
    id: DeploymentId,
) -> Result<DeploymentView, Problem> {
    caller.may_any(&[Scope::Read])?;
    let view = api.control.deployment(id).await?;
    caller.may(&[Scope::Read], &view.service)?;
    Ok(view)
}

/// Who acts on a deployment, and why.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct Because {
    /// Who asks, for the log: `user@host`, a job's name.
    pub by: String,
    /// Why.
    pub why: String,
}

impl Shape for Because {}

/// What can be done to a deployment.
#[derive(Debug, Clone, Copy)]
enum Act {
    Abort,
    Approve,
    Reject,
    Retry,
}

impl Act {
    fn verb(self) -> &'static str {
        match self {
            Self::Abort => "abort",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Retry => "retry",
        }
    }

    /// Whoever may deploy may also stop what they started.
    fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Abort => &[Scope::Deploy, Scope::Operate],
            Self::Approve | Self::Reject | Self::Retry => &[Scope::Operate],
        }
    }

    async fn perform(
        self,
        api: &Api,
        id: DeploymentId,
        by: &str,
        why: &str,
    ) -> Result<(), Refusal> {
        match self {
            Self::Abort => api.control.abort(id, by, why).await,
            Self::Approve => api.control.approve(id, by).await,
            Self::Reject => api.control.reject(id, by, why).await,
            Self::Retry => api.control.retry(id, by).await,
        }
    }
}

async fn act(
    act: Act,
    api: Api,
    caller: Caller,
    id: DeploymentId,
    because: Because,
) -> Result<StatusCode, Problem> {
    let service = api.control.deployment(id).await?.service;
    let result = match caller.may(act.scopes(), &service) {
        Ok(()) => {
            let by = caller.name(&because.by);
            act.perform(&api, id, &by, &because.why).await.map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    let change = Change { verb: act.verb(), service: &service, claimed: &because.by };
    audit::record(&caller, change, Some(&id.to_string()), &result);
    result.map(|()| StatusCode::NO_CONTENT)
}

/// Stop a deployment that has not committed, and revert it.
#[utoipa::path(
    post, path = "/v1/deployments/{id}/abort", request_body = Because,
    params(("id" = String, Path, description = "Its id")),
    responses((status = 204), (status = "4XX", description = "Refused", body = Refusal))
)]
pub(crate) async fn abort(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<DeploymentId>,
    Body(because): Body<Because>,
) -> Result<StatusCode, Problem> {
    act(Act::Abort, api, caller, id, because).await
}

/// Let a deployment that waits for approval go on.
#[utoipa::path(
    post, path = "/v1/deployments/{id}/approve", request_body = Because,
    params(("id" = String, Path, description = "Its id")),
    responses((status = 204), (status = "4XX", description = "Refused", body = Refusal))
)]
pub(crate) async fn approve(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<DeploymentId>,
    Body(because): Body<Because>,
) -> Result<StatusCode, Problem> {
    act(Act::Approve, api, caller, id, because).await
}

/// Revert a deployment that waits for approval.
#[utoipa::path(
    post, path = "/v1/deployments/{id}/reject", request_body = Because,
    params(("id" = String, Path, description = "Its id")),
    responses((status = 204), (status = "4XX", description = "Refused", body = Refusal))
)]
pub(crate) async fn reject(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<DeploymentId>,
    Body(because): Body<Because>,
) -> Result<StatusCode, Problem> {
    act(Act::Reject, api, caller, id, because).await
}

/// Take up a stuck deployment again.
#[utoipa::path(
    post, path = "/v1/deployments/{id}/retry", request_body = Because,
    params(("id" = String, Path, description = "Its id")),
    responses((status = 204), (status = "4XX", description = "Refused", body = Refusal))
)]
pub(crate) async fn retry(
    State(api): State<Api>,
    caller: Caller,
    Named(id): Named<DeploymentId>,
    Body(because): Body<Because>,
) -> Result<StatusCode, Problem> {
    act(Act::Retry, api, caller, id, because).await
}
