//! One pool of connections for bollard and for our own calls.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bollard::{BollardRequest, ClientVersion, Docker};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http_body_util::{Either, Full, StreamBody};
use hyper::Uri;
use hyper::body::Frame;
use hyper::header::{HeaderName, HeaderValue};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;

use super::connect::Connector;

/// Connections that nobody needed for so long are closed.
const IDLE: Duration = Duration::from_secs(60);

/// A name for the `Host` header; where the engine is, the connector knows.
pub(super) const AUTHORITY: &str = "http://docker";

pub(super) static REGISTRY_AUTH: HeaderName = HeaderName::from_static("x-registry-auth");

/// As bollard sends it.
type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, Result<Frame<Bytes>, io::Error>>>>;

pub(super) type Pool = legacy::Client<Connector, Body>;

pub(super) fn pool(connector: Connector) -> Pool {
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .build(connector)
}

/// bollard over `pool`, speaking `version`; `agreed` is told when the engine has taken a request.
pub(super) fn docker(
    pool: &Pool,
    patience: Duration,
    version: &ClientVersion,
    agreed: Option<Arc<Notify>>,
) -> Result<Docker, bollard::errors::Error> {
    let pool = pool.clone();
    let prefix = format!("/v{version}");
    let transport = move |mut request: BollardRequest| {
        let (pool, agreed) = (pool.clone(), agreed.clone());
        let prepared = prepare(&mut request, &prefix);
        async move {
            prepared?;
            let response = pool.request(request).await?;
            if response.status().is_success() {
                agreed.inspect(|agreed| agreed.notify_one());
            }
            Ok(response)
        }
    };
    Docker::connect_with_custom_transport(transport, Some(AUTHORITY), patience.as_secs(), version)
}

/// bollard 0.21 loses the version from every path (it joins an absolute path to the versioned one),
/// and writes credentials in an alphabet that engines do not read.
fn prepare(request: &mut BollardRequest, prefix: &str) -> Result<(), bollard::errors::Error> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    if !path.starts_with(prefix) {
        *request.uri_mut() = format!("{AUTHORITY}{prefix}{path}").parse::<Uri>()?;
    }
    if let Some(auth) = request.headers_mut().get_mut(&REGISTRY_AUTH) {
        let safe = auth.as_bytes().iter().map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        });
        *auth = HeaderValue::from_bytes(&safe.collect::<Vec<u8>>())
            .map_err(|error| bollard::errors::Error::HttpClientError { err: error.into() })?;
        auth.set_sensitive(true);
    }
    Ok(())
}
