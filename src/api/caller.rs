//! What a client may do, so that it offers nothing else.

use axum::Json;
use serde::{Deserialize, Serialize};

use super::auth::{Caller, word};
use crate::config::Scope;
use crate::deploy::control::Refusal;

/// Who asks, and what they may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Granted {
    /// How the audit log calls them.
    pub name: String,
    /// `read`, `deploy`, `operate`.
    pub scopes: Vec<String>,
    /// The patterns of the services that this is for; empty: all.
    pub services: Vec<String>,
}

/// Who asks, and what they may.
#[utoipa::path(
    get, path = "/v1/caller",
    responses(
        (status = 200, body = Granted),
        (status = "4XX", description = "Refused", body = Refusal),
    )
)]
pub(crate) async fn caller(caller: Caller) -> Json<Granted> {
    let all = [Scope::Read, Scope::Deploy, Scope::Operate];
    let granted = all.into_iter().filter(|scope| caller.may_any(&[*scope]).is_ok());
    Json(Granted {
        name: caller.identity(),
        scopes: granted.map(|scope| word(scope).to_owned()).collect(),
        services: caller.token().map_or_else(Vec::new, |token| token.services.clone()),
    })
}
