use std::future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::SystemVersion;
use bollard::{BollardRequest, ClientVersion, Docker};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt, TryStreamExt};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{Notify, OnceCell};
use url::form_urlencoded;

use super::connect::Connector;
use super::transport::{self, AUTHORITY, Pool, REGISTRY_AUTH};
use super::{Credentials, Endpoint, Error, RegistryAuth, TlsFiles};
use crate::lines::LineBuffer;

/// The newest version of the API that this client was tried against (Engine 28.5). What it sends
/// and reads exists since 1.41 (Engine 20.10).
const NEWEST: Version = Version(1, 51);

/// Any answer that is not a stream comes within this, even from an engine that swaps.
const PATIENCE: Duration = Duration::from_secs(30);

/// No answer that is read whole is larger: 500 tasks are about 2 MB.
const LARGEST: usize = 64 << 20;

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

/// A connection pool to one engine, for bollard (`ask`, `begin`) and for calls
/// whose JSON must come back as it is ([`Client::get`] and the like). Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    pool: Pool,
    endpoint: Arc<Endpoint>,
    credentials: Credentials,
    docker: OnceCell<Docker>,
}

/// `1.41`
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(usize, usize);

impl Client {
    /// Prepare to speak to the engine; the first call connects.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let endpoint = Arc::new(settings.host.parse::<Endpoint>()?);
        let tls = settings.tls.as_ref().map(TlsFiles::client).transpose()?;
        let connector = Connector::new(Arc::clone(&endpoint), tls.map(Arc::new));
        Ok(Self(Arc::new(Inner {
            pool: transport::pool(connector),
            endpoint,
            credentials: Credentials::new(settings.docker_config.clone()),
            docker: OnceCell::new(),
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

    fn call(&self, method: Method, path: impl Into<String>) -> Call<'_> {
        let path = path.into();
        Call { client: self, method, path, query: Vec::new(), body: None, auth: None }
    }

    /// bollard, with a version that both sides speak: settled first, once.
    pub(crate) async fn docker(&self) -> Result<&Docker, Error> {
        self.0.docker.get_or_try_init(|| self.negotiate()).await
    }

    /// As bollard's `negotiate_version` does, which does not know that engines refuse versions
    /// below a minimum, too.
    async fn negotiate(&self) -> Result<Docker, Error> {
        let path = "/version";
        let response = self.send(self.get(path).request("")?, path).await?;
        let versions: SystemVersion = self.read_value(response, path).await?;
        let parsed = |text: Option<String>| text.as_deref().and_then(Version::parse);
        let newest = parsed(versions.api_version).unwrap_or(NEWEST);
        let oldest = parsed(versions.min_api_version).unwrap_or(Version(0, 0));
        self.bollard(NEWEST.min(newest).max(oldest).into(), None)
    }

    fn bollard(
        &self,
        version: ClientVersion,
        agreed: Option<Arc<Notify>>,
    ) -> Result<Docker, Error> {
        let docker = transport::docker(&self.0.pool, PATIENCE, &version, agreed);
        docker.map_err(|error| self.error(error, ""))
    }

    /// Wait for an act through bollard whose answer is short; `path` is what an error names. What may
    /// be long goes by [`Call::value`], since bollard reads an answer to its end, however far that is.
    pub(crate) async fn ask<T>(
        &self,
        path: &str,
        answer: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<T, Error> {
        let asking = async { answer.await.map_err(|error| self.error(error, path)) };
        self.within(asking).await
    }

    /// Ask through bollard for what comes as it comes, without a limit in time. When this returns the
    /// engine has taken the request: bollard by itself sends it only when its stream is first read,
    /// and an end or an event in between would be missed.
    pub(crate) async fn begin<T: Send + 'static, S>(
        &self,
        path: &'static str,
        ask: impl FnOnce(&Docker) -> S,
    ) -> Result<BoxStream<'static, Result<T, Error>>, Error>
    where
        S: Stream<Item = Result<T, bollard::errors::Error>> + Send + 'static,
    {
        let version = self.docker().await?.client_version();
        let agreed = Arc::new(Notify::new());
        let docker = self.bollard(version, Some(Arc::clone(&agreed)))?;
        let client = self.clone();
        let answer = ask(&docker).map_err(move |error| client.error(error, path));
        let mut answer = answer.boxed();
        tokio::select! {
            first = answer.next() => Ok(stream::iter(first.transpose()?.map(Ok)).chain(answer).boxed()),
            () = agreed.notified() => Ok(answer),
        }
    }

    pub(super) fn error(&self, error: bollard::errors::Error, path: &str) -> Error {
        use bollard::errors::Error as Bollard;
        let path = path.to_owned();
        match error {
            Bollard::DockerResponseServerError { status_code, message } => {
                Error::Refused { status: status_code, message: message.trim().to_owned() }
            }
            Bollard::DockerStreamError { error } => Error::Refused { status: 500, message: error },
            Bollard::RequestTimeoutError => self.silent(),
            Bollard::HyperLegacyError { err } => self.unreachable(err),
            Bollard::HyperResponseError { err } => self.unreachable(err),
            Bollard::IOError { err } => self.unreachable(err),
            Bollard::JsonDataError { message, .. } => {
                Error::Answer { path, source: message.into() }
            }
            Bollard::JsonSerdeError { err } => Error::Answer { path, source: err.into() },
            other => Error::Request { path, source: other.into() },
        }
    }

    async fn send(&self, request: BollardRequest, path: &str) -> Result<Response<Incoming>, Error> {
        let sending = async {
            let sent = self.0.pool.request(request).await;
            sent.map_err(|source| self.unreachable(source))
        };
        let response = self.within(sending).await?;
        if response.status().is_success() || response.status().as_u16() == 304 {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let body = self.read(response, path).await?;
        Err(Error::Refused { status, message: message_of(&body) })
    }

    async fn within<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let done = tokio::time::timeout(PATIENCE, work).await;
        done.unwrap_or_else(|_| Err(self.silent()))
    }

    async fn read_value<T: DeserializeOwned>(
        &self,
        response: Response<Incoming>,
        path: &str,
    ) -> Result<T, Error> {
        let body = self.read(response, path).await?;
        serde_json::from_slice(&body)
            .map_err(|source| Error::Answer { path: path.to_owned(), source: source.into() })
    }

    async fn read(&self, response: Response<Incoming>, path: &str) -> Result<Bytes, Error> {
        let body = Limited::new(response.into_body(), LARGEST).collect();
        let reading = async {
            body.await.map_err(|source| {
                if source.is::<LengthLimitError>() {
                    Error::TooLarge { path: path.to_owned(), limit: LARGEST }
                } else {
                    self.unreachable(source)
                }
            })
        };
        Ok(self.within(reading).await?.to_bytes())
    }

    fn silent(&self) -> Error {
        Error::Silent { host: self.endpoint().to_string(), limit: PATIENCE }
    }

    pub(super) fn unreachable(
        &self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Error {
        Error::Unreachable { host: self.endpoint().to_string(), source: source.into() }
    }
}

/// One request with the engine's own JSON, being put together.
#[must_use = "a call is made by asking for its answer"]
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    body: Option<Bytes>,
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
        self.query("filters", json!(super::filters(filters)).to_string())
    }

    /// With a body.
    pub fn json(mut self, body: &Value) -> Self {
        self.body = Some(Bytes::from(body.to_string()));
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

    /// Make the call and read its answer line by line, as it comes, without a limit in time. When this
    /// returns the engine has taken the request; the lines end with the connection.
    pub async fn lines(self) -> Result<BoxStream<'static, String>, Error> {
        let pieces = self.response().await?.into_body().into_data_stream();
        let whole = pieces.take_while(|piece| future::ready(piece.is_ok()));
        let lines = whole.scan(LineBuffer::default(), |buffer, piece| {
            future::ready(piece.ok().map(|piece| stream::iter(buffer.push(&piece))))
        });
        Ok(lines.flatten().boxed())
    }

    /// Make the call; its answer does not matter, if only it is none of error.
    pub async fn done(self) -> Result<(), Error> {
        let (client, path) = (self.client, self.path.clone());
        let response = self.response().await?;
        // Read to its end, or the connection could not be used again.
        client.read(response, &path).await?;
        Ok(())
    }

    async fn response(self) -> Result<Response<Incoming>, Error> {
        let version = self.client.docker().await?.client_version();
        let request = self.request(&format!("/v{version}"))?;
        self.client.send(request, &self.path).await
    }

    fn request(&self, version: &str) -> Result<BollardRequest, Error> {
        let mut uri = format!("{AUTHORITY}{version}{}", self.path);
        if !self.query.is_empty() {
            let mut query = form_urlencoded::Serializer::new(String::new());
            uri.push('?');
            uri.push_str(&query.extend_pairs(&self.query).finish());
        }
        let mut request = Request::builder().method(self.method.clone()).uri(uri);
        if self.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(auth) = &self.auth {
            request = request.header(&REGISTRY_AUTH, auth.header());
        }
        let body = bollard::body_full(self.body.clone().unwrap_or_default());
        let request = request.body(body);
        request.map_err(|source| Error::Request { path: self.path.clone(), source: source.into() })
    }
}

impl Version {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl From<Version> for ClientVersion {
    fn from(Version(major_version, minor_version): Version) -> Self {
        Self { major_version, minor_version }
    }
}

/// Errors come as `{"message": "…"}`; a proxy in between may say something else.
pub(super) fn message_of(body: &[u8]) -> String {
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
