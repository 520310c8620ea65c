//! The typed client of the HTTP API, used by the command line and by tests.

mod address;
mod error;
mod events;

use std::error::Error;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::api::{Because, Granted, Live, PastRelease};
use crate::deploy::control::{Finding, Refusal, Rendered, Submitted};
use crate::model::{
    DeploymentId, DeploymentView, Event, Plan, Registration, Request, ServiceName, Status,
};

pub use address::{DaemonAddress, ParseAddressError};
pub use error::ClientError;
pub use events::{Events, Followed};

/// A connection is made at once or not at all: the daemon is near.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An answer comes within this; above the daemon's own limit, so that its words are heard.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(75);

/// A daemon, as its API shows it.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    address: DaemonAddress,
    token: Option<SecretString>,
}

impl Client {
    /// A client of the daemon at `address`. Nothing is sent yet.
    pub fn new(address: DaemonAddress, token: Option<SecretString>) -> Result<Self, ClientError> {
        let http = builder(&address).build().map_err(ClientError::Build)?;
        Ok(Self { http, address, token })
    }

    /// Where the daemon is.
    #[must_use]
    pub fn address(&self) -> &DaemonAddress {
        &self.address
    }

    /// Ask for a deployment or a rollback.
    pub async fn submit(&self, request: &Request) -> Result<Submitted, ClientError> {
        self.post("/v1/deployments", request).await
    }

    /// What `submit` of the same would do.
    pub async fn plan(&self, request: &Request) -> Result<Plan, ClientError> {
        self.post("/v1/plan", request).await
    }

    /// The newest `limit` deployments, newest first.
    pub async fn deployments(
        &self,
        service: Option<&ServiceName>,
        limit: usize,
    ) -> Result<Vec<DeploymentView>, ClientError> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(service.map(|service| ("service", service.to_string())));
        self.get("/v1/deployments", &query).await
    }

    /// One deployment.
    pub async fn deployment(&self, id: DeploymentId) -> Result<DeploymentView, ClientError> {
        self.get(&format!("/v1/deployments/{id}"), &()).await
    }

    /// Everything that happened in a deployment so far.
    pub async fn events(&self, id: DeploymentId) -> Result<Vec<Event>, ClientError> {
        self.get(&format!("/v1/deployments/{id}/log"), &()).await
    }

    /// Stop a deployment that has not committed, and revert it.
    pub async fn abort(&self, id: DeploymentId, because: &Because) -> Result<(), ClientError> {
        self.act(id, "abort", because).await
    }

    /// Let a deployment that waits for approval go on.
    pub async fn approve(&self, id: DeploymentId, because: &Because) -> Result<(), ClientError> {
        self.act(id, "approve", because).await
    }

    /// Revert a deployment that waits for approval.
    pub async fn reject(&self, id: DeploymentId, because: &Because) -> Result<(), ClientError> {
        self.act(id, "reject", because).await
    }

    /// Take up a stuck deployment again.
    pub async fn retry(&self, id: DeploymentId, because: &Because) -> Result<(), ClientError> {
        self.act(id, "retry", because).await
    }

    /// Services and proxies as they stand.
    pub async fn status(&self, service: Option<&ServiceName>) -> Result<Status, ClientError> {
        let query = service.map(|service| [("service", service.as_str())]);
        self.get("/v1/status", &query).await
    }

    /// Who this client is to the daemon, and what it may.
    pub async fn caller(&self) -> Result<Granted, ClientError> {
        self.get("/v1/caller", &()).await
    }

    /// The live colour of a service.
    pub async fn colour(&self, service: &ServiceName) -> Result<Live, ClientError> {
        self.get(&format!("/v1/services/{service}/colour"), &()).await
    }

    /// The registered instances of a service.
    pub async fn instances(&self, service: &ServiceName) -> Result<Vec<Registration>, ClientError> {
        self.get(&format!("/v1/services/{service}/instances"), &()).await
    }

    /// The releases of a service that were live.
    pub async fn releases(&self, service: &ServiceName) -> Result<Vec<PastRelease>, ClientError> {
        self.get(&format!("/v1/services/{service}/releases"), &()).await
    }

    /// A proxy's configuration as its template renders it now.
    pub async fn render(&self, proxy: &str) -> Result<Rendered, ClientError> {
        let name: String = url::form_urlencoded::byte_serialize(proxy.as_bytes()).collect();
        self.get(&format!("/v1/proxies/{}/render", name.replace('+', "%20")), &()).await
    }

    /// Everything that deployments need, looked at.
    pub async fn doctor(&self) -> Result<Vec<Finding>, ClientError> {
        self.get("/v1/doctor", &()).await
    }

    /// What happens in a deployment, from its beginning to its end, across broken connections. With
    /// `hold` the daemon aborts the deployment when this client vanishes.
    #[must_use]
    pub fn follow(&self, id: DeploymentId, hold: bool) -> Events {
        Events::of_deployment(self.clone(), id, hold)
    }

    /// What happens in any deployment from now on.
    #[must_use]
    pub fn watch(&self) -> Events {
        Events::of_all(self.clone())
    }

    async fn act(
        &self,
        id: DeploymentId,
        verb: &str,
        because: &Because,
    ) -> Result<(), ClientError> {
        let request = self.request(Method::POST, &format!("/v1/deployments/{id}/{verb}"));
        self.send(request.json(because).timeout(ANSWER_TIMEOUT)).await.map(drop)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::GET, path).query(query).timeout(ANSWER_TIMEOUT);
        self.read(self.send(request).await?).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::POST, path).json(body).timeout(ANSWER_TIMEOUT);
        self.read(self.send(request).await?).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.address.url(path));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    async fn refused(&self, response: Response) -> ClientError {
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => ClientError::Refused(Box::new(refusal)),
            Err(_) => self.unexpected(status, format!("an answer that is no refusal ({status})")),
        }
    }

    async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, ClientError> {
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body)
            .map_err(|error| self.unexpected(status, format!("an answer not understood: {error}")))
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable { address: self.address.clone(), why: innermost(error) }
    }

    fn unexpected(&self, status: StatusCode, what: String) -> ClientError {
        // Whoever answers 502 to 504 in words of its own stands between, not the daemon.
        let between = status.is_server_error();
        ClientError::Unexpected { address: self.address.clone(), what, between }
    }
}

/// What lies beneath: the layers above only say that a request was sent.
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn builder(address: &DaemonAddress) -> reqwest::ClientBuilder {
    // Somebody else may have chosen already; both choices work.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("verdigris/", env!("CARGO_PKG_VERSION")))
        .no_proxy();
    match address {
        // Reading the system's authorities takes longer than everything else here.
        DaemonAddress::Unix(path) => builder.tls_certs_only([]).unix_socket(path.clone()),
        DaemonAddress::Url(url) if url.scheme() == "http" => builder.tls_certs_only([]),
        DaemonAddress::Url(_) => builder,
    }
}
