//! The paths under `/v1`, and the document that describes them.

use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, caller, deployments, events, inspect, services};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Verdigris",
        description = "Blue-green deployments for Docker Swarm, with service discovery. Over the \
                       unix socket no token is needed; over TCP a bearer token is. Whatever is \
                       refused is answered with a `Refusal`."
    ),
    modifiers(&Bearer),
    security(("token" = []))
)]
struct Document;

/// Adds the security scheme that the document names.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

fn paths() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(deployments::submit, deployments::list))
        .routes(routes!(deployments::plan))
        .routes(routes!(deployments::show))
        .routes(routes!(deployments::abort))
        .routes(routes!(deployments::approve))
        .routes(routes!(deployments::reject))
        .routes(routes!(deployments::retry))
        .routes(routes!(events::follow))
        .routes(routes!(events::log))
        .routes(routes!(events::watch))
        .routes(routes!(caller::caller))
        .routes(routes!(inspect::status))
        .routes(routes!(inspect::render))
        .routes(routes!(inspect::doctor))
        .routes(routes!(services::colour))
        .routes(routes!(services::instances))
        .routes(routes!(services::releases))
}

/// The paths under `/v1`, `/v1/openapi.json` among them.
pub(crate) fn documented() -> Router<Api> {
    let (router, document) = paths().split_for_parts();
    let answer = move || async move { Json(document).into_response() };
    router.route("/v1/openapi.json", get(answer))
}
