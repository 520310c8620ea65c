//! Plain HTTP, to look at things from outside with nothing of the project in between.

use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::bed::Bed;

/// A client over the unix socket at `path`, or over TCP.
pub fn client(path: Option<&Path>) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder =
        reqwest::Client::builder().tls_certs_only([]).no_proxy().timeout(Duration::from_secs(20));
    match path {
        Some(path) => builder.unix_socket(path.to_owned()),
        None => builder,
    }
    .build()
    .unwrap()
}

/// A client of the secure Consul of `bed`, with its authority and token.
pub fn trusted(bed: &Bed) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |name| std::fs::read(bed.env(name)).unwrap();
    let mut token = HeaderValue::from_bytes(&read("TESTBED_SECURE_CONSUL_TOKEN_FILE")).unwrap();
    token.set_sensitive(true);
    reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&read("TESTBED_CA")).unwrap()])
        .default_headers(HeaderMap::from_iter([(HeaderName::from_static("x-consul-token"), token)]))
        .no_proxy()
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

/// The JSON behind `url`; null when there is nothing (404).
pub async fn json(client: &reqwest::Client, url: &str) -> Value {
    let answer = client.get(url).send().await.unwrap_or_else(|e| panic!("{url}: {e:?}"));
    if answer.status() == 404 {
        return Value::Null;
    }
    let status = answer.status();
    let body = answer.bytes().await.unwrap();
    assert!(status.is_success(), "{url}: {status}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{url}: {e}"))
}

/// A client of the public: `host` is at `address`, its certificate is checked against `ca`, and each
/// request has a connection of its own.
pub fn public(ca: &[u8], host: &str, address: std::net::SocketAddr) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca = reqwest::Certificate::from_pem(ca).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([ca])
        .resolve(host, address)
        .pool_max_idle_per_host(0)
        .no_proxy()
        .timeout(Duration::from_secs(10))
        .build()
        .unwrap()
}
