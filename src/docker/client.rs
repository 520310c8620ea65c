use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName};
use hyper::{Method, Request, Response};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, Lines};
use tokio::sync::OnceCell;
use tokio_util::io::StreamReader;
use url::form_urlencoded;

use super::connect::Connector;
use super::{Credentials, Endpoint, Error, RegistryAuth, TlsFiles};

/// The newest version of the API that this client was tried against (Engine 28.5). What it sends
/// and reads exists since 1.41 (Engine 20.10).
const NEWEST: Version = Version(1, 51);

/// Any answer that is not a stream comes within this, even from an engine that swaps.
const PATIENCE: Duration = Duration::from_secs(30);

/// No answer that is read whole is larger: 500 tasks are about 2 MB.
const LARGEST: usize = 64 << 20;

/// Connections that nobody needed for so long are closed.
const IDLE: Duration = Duration::from_secs(60);

static REGISTRY_AUTH: HeaderName = HeaderName::from_static("x-registry-auth");

/// Where an engine is, and what is needed to speak to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// As in `DOCKER_HOST`: `unix://`, `tcp://` or `ssh://`.
    pub host: String,
    /// TLS for `tcp://`.
    pub tls: Option<TlsFiles>,
    /// Directory of the Docker configuration file with the credentials for registries of images;
    /// none is `DOCKER_CONFIG`, else `~/.docker`.
    pub docker_config: Option<PathBuf>,
}

/// A connection pool to one engine. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: legacy::Client<Connector, Full<Bytes>>,
    endpoint: Arc<Endpoint>,
    credentials: Credentials,
    version: OnceCell<Version>,
}

/// `1.41`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u16, u16);

impl Client {
    /// Prepare to speak to the engine; the first call connects.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let endpoint = Arc::new(settings.host.parse::<Endpoint>()?);
        let tls = settings.tls.as_ref().map(super::tls::configuration);
        let connector = Connector::new(Arc::clone(&endpoint), tls.transpose()?);
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Ok(Self(Arc::new(Inner {
            http,
            endpoint,
            credentials: Credentials::new(settings.docker_config.clone()),
            version: OnceCell::new(),
        })))
    }

    /// Where the engine is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Credentials for registries of images.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.0.credentials
    }

    /// Begin a `GET` of `path`.
    pub fn get(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// Begin a `POST` to `path`.
    pub fn post(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::POST, path)
    }

    /// Begin a `DELETE` of `path`.
    pub fn delete(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    /// Begin a `PUT` to `path`.
    pub fn put(&self, path: impl Into<String>) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    fn call(&self, method: Method, path: impl Into<String>) -> Call<'_> {
        Call { client: self, method, path: path.into(), query: Vec::new(), body: None, auth: None }
    }

    /// The engine refuses versions that it does not know, so both sides' newest is settled first,
    /// once.
    async fn version(&self) -> Result<Version, Error> {
        let negotiated = self.0.version.get_or_try_init(|| self.negotiate());
        negotiated.await.copied()
    }

    async fn negotiate(&self) -> Result<Version, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Versions {
            api_version: String,
            #[serde(rename = "MinAPIVersion")]
            min_api_version: Option<String>,
        }
        let path = "/version";
        let request = self.get(path).request(path)?;
        let response = self.send(request, path).await?;
        let versions: Versions = self.read_value(response, path).await?;
        let newest = Version::parse(&versions.api_version).unwrap_or(NEWEST);
        let oldest = versions.min_api_version.as_deref().and_then(Version::parse);
        Ok(NEWEST.min(newest).max(oldest.unwrap_or(Version(0, 0))))
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        path: &str,
    ) -> Result<Response<Incoming>, Error> {
        let sending = async {
            let sent = self.0.http.request(request).await;
            sent.map_err(|source| self.unreachable(source))
        };
        let response = self.within(sending).await?;
        if response.status().is_success() || response.status().as_u16() == 304 {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = self.read(response, path, LARGEST).await?;
        Err(Error::Refused { status, message: message_of(&body) })
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let done = tokio::time::timeout(PATIENCE, work).await;
        done.unwrap_or_else(|_| {
            Err(Error::Silent { host: self.endpoint().to_string(), limit: PATIENCE })
        })
    }

    async fn read_value<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
        path: &str,
    ) -> Result<T, Error> {
        let body = self.read(response, path, LARGEST).await?;
        serde_json::from_slice(&body)
            .map_err(|source| Error::Answer { path: path.to_owned(), source })
    }

    async fn read(
        &self,
        response: Response<Incoming>,
        path: &str,
        limit: usize,
    ) -> Result<Bytes, Error> {
        let body = Limited::new(response.into_body(), limit).collect();
        let reading = async {
            body.await.map_err(|source| {
                if source.is::<LengthLimitError>() {
                    let path = path.to_owned();
                    Error::TooLarge { path, limit }
                } else {
                    self.unreachable(source)
                }
            })
        };
        Ok(self.within(reading).await?.to_bytes())
    }

    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Unreachable { host: self.endpoint().to_string(), source: source.into() }
    }
}

/// One request, being put together.
#[must_use = "a call is made by asking for its answer"]
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<(&'static str, Bytes)>,
    auth: Option<RegistryAuth>,
}

impl Call<'_> {
    /// With a parameter in the query.
    pub fn query(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    /// With `filters`: key and values.
    pub fn filters(self, filters: &[(&str, &[&str])]) -> Self {
        let filters: serde_json::Map<String, Value> = filters
            .iter()
            .map(|(key, values)| ((*key).to_owned(), Value::from(values.to_vec())))
            .collect();
        self.query("filters", Value::Object(filters).to_string())
    }

    /// With a body.
    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(("application/json", Bytes::from(body.to_string())));
        self
    }

    /// With a tar archive as its body.
    pub fn archive(mut self, tar: Bytes) -> Self {
        self.body = Some(("application/x-tar", tar));
        self
    }

    /// With credentials for a registry of images, when there are some.
    pub fn auth(mut self, auth: Option<RegistryAuth>) -> Self {
        self.auth = auth;
        self
    }

    /// Make the call and read its JSON answer.
    pub async fn value<T: DeserializeOwned>(self) -> Result<T, Error> {
        let (client, path) = (self.client, self.path.clone());
        let response = self.response().await?;
        client.read_value(response, &path).await
    }

    /// Make the call; its answer does not matter, if only it is none of error.
    pub async fn done(self) -> Result<(), Error> {
        let (client, path) = (self.client, self.path.clone());
        let response = self.response().await?;
        // Read to its end, or the connection could not be used again.
        client.read(response, &path, LARGEST).await?;
        Ok(())
    }

    /// Make the call and read its answer, at most `limit` bytes.
    pub async fn bytes(self, limit: usize) -> Result<Bytes, Error> {
        let (client, path) = (self.client, self.path.clone());
        let response = self.response().await?;
        client.read(response, &path, limit).await
    }

    /// Make the call; what it answers comes as it comes, without a limit in time.
    pub async fn stream(self) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let client = self.client.clone();
        let body = self.response().await?.into_body();
        let unreachable = move |source| client.unreachable(source);
        Ok(TryStreamExt::map_err(body.into_data_stream(), unreachable).boxed())
    }

    /// Make the call; each line of what it answers comes as it comes, without a limit in time.
    pub async fn lines(self) -> Result<BoxStream<'static, Result<String, Error>>, Error> {
        let client = self.client.clone();
        let bytes = self.stream().await?.map_err(io::Error::other);
        let lines = StreamReader::new(bytes).lines();
        let next =
            async |mut lines: Lines<_>| Ok(lines.next_line().await?.map(|line| (line, lines)));
        let unreachable = move |source: io::Error| client.unreachable(source);
        Ok(stream::try_unfold(lines, next).map_err(unreachable).boxed())
    }

    async fn response(self) -> Result<Response<Incoming>, Error> {
        let version = self.client.version().await?;
        let request = self.request(&format!("/v{}.{}{}", version.0, version.1, self.path))?;
        self.client.send(request, &self.path).await
    }

    fn request(&self, versioned: &str) -> Result<Request<Full<Bytes>>, Error> {
        let mut uri = format!("http://docker{versioned}");
        if !self.query.is_empty() {
            let mut query = form_urlencoded::Serializer::new(String::new());
            uri.push('?');
            uri.push_str(&query.extend_pairs(&self.query).finish());
        }
        let mut request = Request::builder().method(self.method.clone()).uri(uri);
        if let Some((kind, _)) = &self.body {
            request = request.header(CONTENT_TYPE, *kind);
        }
        if let Some(auth) = &self.auth {
            request = request.header(&REGISTRY_AUTH, auth.header());
        }
        let body = self.body.as_ref().map(|(_, body)| body.clone());
        let body = Full::new(body.unwrap_or_default());
        request.body(body).map_err(|source| Error::Request { path: self.path.clone(), source })
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

/// Errors come as `{"message": "…"}`; a proxy in between may say something else.
fn message_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    match serde_json::from_slice::<Message>(body) {
        Ok(answer) => answer.message.trim().to_owned(),
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(300)]).trim().to_owned(),
    }
}

#[cfg(test)]
mod tests;
