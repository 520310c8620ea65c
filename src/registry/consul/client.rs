//! Consul's HTTP API, as much of it as is needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::HeaderValue;
use reqwest::{Certificate, Identity, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::CallError;
use super::image::Pair;
use super::settings::{self, Settings, SettingsError};
use super::token::Token;
use super::txn::Objection;

/// A healthy agent accepts a connection within milliseconds; two seconds allow for one lost packet.
const CONNECT: Duration = Duration::from_secs(2);

/// An ordinary call takes a few milliseconds. While there is no leader Consul itself holds a call for
/// up to 7 s before it says so; a deployment rather hears it earlier.
const PATIENCE: Duration = Duration::from_secs(5);

/// No answer that makes sense is larger: 1,000 services of 10 instances are about 10 MB.
const LARGEST: usize = 64 << 20;

/// The client. Clones share their connections.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    address: String,
    datacenter: Option<String>,
    token: Arc<Token>,
}

/// An answer and the index to wait from for the next one.
#[derive(Debug)]
pub(super) struct Answer<T> {
    pub(super) index: u64,
    /// None when there is no such thing (404).
    pub(super) value: Option<T>,
}

/// What is asked.
struct Call<'a> {
    method: Method,
    /// After `/v1/`.
    path: &'a str,
    query: &'a [(&'a str, &'a str)],
    body: Option<Bytes>,
    /// Longest time to the end of the answer.
    patience: Duration,
}

impl Call<'_> {
    const GET: Self =
        Call { method: Method::GET, path: "", query: &[], body: None, patience: PATIENCE };
}

/// What came back, before it is understood.
struct Raw {
    status: StatusCode,
    index: u64,
    body: Bytes,
}

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let url = &settings.address;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some() {
            return Err(SettingsError::Address(url.clone()));
        }
        Ok(Self {
            http: connector(settings)?,
            address: url.as_str().trim_end_matches('/').to_owned(),
            datacenter: settings.datacenter.clone(),
            token: Arc::new(Token::read(settings.token_file.clone())?),
        })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn token_file(&self) -> Option<&PathBuf> {
        self.token.file()
    }

    /// As [`Client::get`], and surely of what is so now. By default a server that has just become the
    /// leader answers before it has caught up with what it knows: after a restart it would say that
    /// there is nothing at all.
    pub(super) async fn get_consistent<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Answer<T>, CallError> {
        self.get(path, &[query, &[("consistent", "")]].concat()).await
    }

    /// One key; none if it does not exist.
    pub(super) async fn key(&self, key: &str) -> Result<Option<Pair>, CallError> {
        let pairs: Answer<Vec<Pair>> = self.get_consistent(&format!("kv/{key}"), &[]).await?;
        Ok(pairs.value.into_iter().flatten().next())
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Answer<T>, CallError> {
        let raw = self.call(&Call { path, query, ..Call::GET }).await?;
        raw.understand(&self.address)
    }

    /// The answer once it is newer than `index`, or as it is after `wait`.
    pub(super) async fn wait<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        index: u64,
        wait: Duration,
    ) -> Result<Answer<T>, CallError> {
        let (index, seconds) = (index.to_string(), format!("{}s", wait.as_secs()));
        let query = &[query, &[("index", &index), ("wait", &seconds)]].concat();
        // Consul adds up to a sixteenth, so that not everybody comes back at once.
        let patience = wait + wait / 16 + PATIENCE;
        let raw = self.call(&Call { path, query, patience, ..Call::GET }).await?;
        raw.understand(&self.address)
    }

    pub(super) async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, CallError> {
        let body = serde_json::to_vec(body).map_err(|error| CallError::Request(error.into()))?;
        let (method, body) = (Method::PUT, Some(body.into()));
        let raw = self.call(&Call { method, path, body, ..Call::GET }).await?;
        raw.understand(&self.address)
    }

    /// Call; once more when the token is refused and there is another one in the file by now.
    async fn call(&self, call: &Call<'_>) -> Result<Raw, CallError> {
        let token = self.token.header();
        let result = self.once(call, token.clone()).await;
        if !result.as_ref().is_err_and(CallError::is_denied) {
            return result;
        }
        self.token.refresh().await;
        match self.token.header() {
            fresh if fresh != token => self.once(call, fresh).await,
            _ => result,
        }
    }

    async fn once(&self, call: &Call<'_>, token: Option<HeaderValue>) -> Result<Raw, CallError> {
        let url = format!("{}/v1/{}", self.address, call.path);
        let mut request = self.http.request(call.method.clone(), url).query(call.query);
        if let Some(datacenter) = &self.datacenter {
            request = request.query(&[("dc", datacenter)]);
        }
        if let Some(token) = token {
            request = request.header("X-Consul-Token", token);
        }
        if let Some(body) = &call.body {
            request = request.body(body.clone());
        }
        let lost = |error| self.lost(error, call.patience);
        let mut response = request.timeout(call.patience).send().await.map_err(lost)?;
        let (status, index) = (response.status(), index(&response));
        let mut body = BytesMut::new();
        while let Some(piece) = response.chunk().await.map_err(lost)? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST {
                return Err(CallError::Endless { address: self.address.clone(), limit: LARGEST });
            }
        }
        Raw { status, index, body: body.freeze() }.accept()
    }

    fn lost(&self, error: reqwest::Error, patience: Duration) -> CallError {
        let address = self.address.clone();
        if error.is_builder() {
            return CallError::Request(error.without_url().into());
        }
        if error.is_timeout() && !error.is_connect() {
            return CallError::Silent { address, patience };
        }
        CallError::Reach { address, source: error.without_url() }
    }
}

/// Consul's position, on which blocking queries turn; 0 where it says none.
fn index(response: &reqwest::Response) -> u64 {
    let header = response.headers().get("X-Consul-Index");
    let index = header.and_then(|value| value.to_str().ok()?.parse().ok());
    index.unwrap_or(0)
}

impl Raw {
    /// It is no error of Consul's.
    fn accept(self) -> Result<Self, CallError> {
        if self.status.is_success() {
            return Ok(self);
        }
        if self.status == StatusCode::CONFLICT
            && let Ok(RolledBack { errors }) = serde_json::from_slice(&self.body)
        {
            return Err(CallError::RolledBack(errors));
        }
        let words = words(&self.body);
        // An absent key has no body; a path that Consul does not know has one.
        if self.status == StatusCode::NOT_FOUND && words.is_empty() {
            return Ok(self);
        }
        Err(CallError::Refused { status: self.status.as_u16(), words })
    }

    fn understand<T: DeserializeOwned>(&self, address: &str) -> Result<Answer<T>, CallError> {
        let nonsense = |source| CallError::Nonsense { address: address.to_owned(), source };
        let value = match self.status {
            StatusCode::NOT_FOUND => None,
            _ => Some(serde_json::from_slice(&self.body).map_err(nonsense)?),
        };
        Ok(Answer { index: self.index, value })
    }
}

/// What an answer with `status` and `body` means, for the fuzz targets.
#[cfg(feature = "fuzzing")]
pub(super) fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, CallError> {
    let raw = Raw { status, index: 0, body: Bytes::copy_from_slice(body) }.accept()?;
    let answer: Answer<T> = raw.understand("http://consul")?;
    answer.value.ok_or_else(|| CallError::Refused { status: 404, words: String::new() })
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RolledBack {
    errors: Vec<Objection>,
}

/// What Consul says, in one line of bearable length.
fn words(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}

fn connector(settings: &Settings) -> Result<reqwest::Client, SettingsError> {
    // Does nothing when another part of the program has chosen it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("verdigris/", env!("CARGO_PKG_VERSION")));
    if let Some(path) = &settings.ca {
        builder = builder.tls_certs_only(authorities(path)?);
    } else if settings.address.scheme() == "http" {
        // Loading the system's authorities takes time and memory, for nothing here.
        builder = builder.tls_certs_only([]);
    }
    if let Some((certificate, key)) = &settings.identity {
        builder = builder.identity(identity(certificate, key)?);
    }
    builder.build().map_err(SettingsError::Client)
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, SettingsError> {
    const WHAT: &str = "certificate of an authority";
    let found = Certificate::from_pem_bundle(&settings::read(WHAT, path)?);
    found
        .ok()
        .filter(|found| !found.is_empty())
        .ok_or_else(|| SettingsError::Content { what: WHAT, path: path.to_owned() })
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity, SettingsError> {
    let mut pem = settings::read("client certificate", certificate)?;
    pem.push(b'\n');
    pem.extend(settings::read("key of the client certificate", key)?);
    Identity::from_pem(&pem).map_err(|_| SettingsError::Content {
        what: "client certificate with its key in PEM form",
        path: certificate.to_owned(),
    })
}
