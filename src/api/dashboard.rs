//! The dashboard: files that are part of the program, and nothing fetched from anywhere else.

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use super::Api;

/// Scripts and styles from here only, no frames, no forms that leave; whatever slipped through as
/// markup could load and run nothing.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file of the dashboard.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! assets {
    ($($path:literal $kind:ident $file:literal,)*) => {
        [$(Asset { path: $path, kind: $kind, text: include_str!(concat!("dashboard/", $file)) },)*]
    };
}

static ASSETS: [Asset; 12] = assets! {
    "/" HTML "index.html",
    "/assets/style.css" CSS "style.css",
    "/assets/icon.svg" SVG "icon.svg",
    "/assets/app.js" JS "app.js",
    "/assets/api.js" JS "api.js",
    "/assets/dom.js" JS "dom.js",
    "/assets/words.js" JS "words.js",
    "/assets/dialogs.js" JS "dialogs.js",
    "/assets/deployment.js" JS "deployment.js",
    "/assets/services.js" JS "services.js",
    "/assets/history.js" JS "history.js",
    "/assets/proxies.js" JS "proxies.js",
};

/// Whether `path` is a file of the dashboard. They hold no data, so anybody gets them.
pub(crate) fn is_asset(path: &str) -> bool {
    ASSETS.iter().any(|asset| asset.path == path)
}

/// The files of the dashboard.
pub(crate) fn routes() -> Router<Api> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        let tag = asset.tag();
        router.route(
            asset.path,
            get(move |headers: HeaderMap| async move { asset.answer(&headers, &tag) }),
        )
    })
}

impl Asset {
    fn tag(&self) -> String {
        format!("\"{}\"", hex::encode(&Sha256::digest(self.text)[..8]))
    }

    /// A browser asks each time whether it still has the right one: a new daemon may bring another.
    fn answer(&self, headers: &HeaderMap, tag: &str) -> Response {
        let head = [
            (CONTENT_TYPE, self.kind),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            (ETAG, tag),
        ];
        let known =
            headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
        if known {
            return (StatusCode::NOT_MODIFIED, head).into_response();
        }
        (head, self.text).into_response()
    }
}
