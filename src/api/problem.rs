use std::any::Any;

use axum::Json;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use crate::deploy::control::{Refusal, RefusalKind};

/// A request that is not granted: the refusal as JSON, with its status.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    refusal: Refusal,
}

impl Problem {
    /// Invalid input.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Refusal::new(RefusalKind::Invalid, message).into()
    }

    /// With a status more exact than the refusal's kind.
    pub(crate) fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With the way out.
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.refusal.remedy = Some(remedy.into());
        self
    }

    /// With further lines.
    pub(crate) fn details(mut self, details: Vec<String>) -> Self {
        self.refusal.details = details;
        self
    }

    /// What is answered.
    pub(crate) fn refusal(&self) -> &Refusal {
        &self.refusal
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.kind {
            RefusalKind::Invalid => StatusCode::BAD_REQUEST,
            RefusalKind::Unauthenticated => StatusCode::UNAUTHORIZED,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::Unknown => StatusCode::NOT_FOUND,
            RefusalKind::Busy | RefusalKind::OutOfSequence | RefusalKind::WrongState => {
                StatusCode::CONFLICT
            }
            RefusalKind::Proxy => StatusCode::BAD_GATEWAY,
            RefusalKind::Unreachable | RefusalKind::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            RefusalKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { status, refusal }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let challenge = (self.status == StatusCode::UNAUTHORIZED)
            .then_some([("www-authenticate", "Bearer realm=\"verdigris\"")]);
        (self.status, challenge, Json(self.refusal)).into_response()
    }
}

/// Nothing is served under `uri`.
pub(crate) async fn no_such_path(uri: Uri) -> Problem {
    Problem::from(Refusal::new(
        RefusalKind::Unknown,
        format!("there is nothing at `{}`", uri.path()),
    ))
    .remedy("`/v1/openapi.json` describes what there is")
}

/// `uri` is served, but not with `method`.
pub(crate) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::invalid(format!("`{}` does not take `{method}`", uri.path()))
        .status(StatusCode::METHOD_NOT_ALLOWED)
        .remedy("`/v1/openapi.json` describes what there is")
}

/// A handler panicked. What it said goes to the log only.
#[allow(clippy::needless_pass_by_value, reason = "the signature that the panic layer calls")]
pub(crate) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let words = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = words, "a handler of the API panicked");
    let refusal = Refusal::new(RefusalKind::Internal, "a defect kept this from being answered")
        .remedy("the daemon's log says more; it goes on running");
    Problem::from(refusal).into_response()
}

/// The answer did not come in time.
pub(crate) fn too_slow(seconds: u64) -> Problem {
    let message = format!("no answer within {seconds} s");
    Problem::from(Refusal::new(RefusalKind::Unreachable, message))
        .remedy("`verdigris doctor` says which part does not answer")
}
