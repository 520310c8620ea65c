//! The paths under `/v1`, and the document that describes them.

use std::sync::LazyLock;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use bytes::Bytes;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
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

/// The paths, each to be made by itself: with its handler comes all that the document says of it.
const PATHS: [fn() -> UtoipaMethodRouter<Api>; 17] = [
    || routes!(deployments::submit, deployments::list),
    || routes!(deployments::plan),
    || routes!(deployments::show),
    || routes!(deployments::abort),
    || routes!(deployments::approve),
    || routes!(deployments::reject),
    || routes!(deployments::retry),
    || routes!(events::follow),
    || routes!(events::log),
    || routes!(events::watch),
    || routes!(caller::caller),
    || routes!(inspect::status),
    || routes!(inspect::render),
    || routes!(inspect::doctor),
    || routes!(services::colour),
    || routes!(services::instances),
    || routes!(services::releases),
];

/// The paths under `/v1`, `/v1/openapi.json` among them.
///
/// The document is made when somebody asks for it first, and kept as text: before that it is a tree of over a
/// megabyte, and axum keeps copies of what a handler holds.
pub(crate) fn documented() -> Router<Api> {
    let router = PATHS.iter().fold(Router::new(), |router, path| {
        let (handlers, _) = OpenApiRouter::new().routes(path()).split_for_parts();
        router.merge(handlers)
    });
    router
        .route("/v1/openapi.json", get(async || ([(CONTENT_TYPE, "application/json")], document())))
}

fn document() -> Bytes {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
        let begun = OpenApiRouter::with_openapi(Document::openapi());
        let whole = PATHS.iter().fold(begun, |router, path| router.routes(path())).into_openapi();
        // What is a tree of strings and numbers can always be written down.
        serde_json::to_vec(&whole).unwrap_or_default().into()
    });
    DOCUMENT.clone()
}
