//! One GET over one fresh connection, plain or by TLS, to an address of our choice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::HOST;
use hyper::{Request, StatusCode, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::settings::Settings;
use crate::tls;

/// One request with its connection.
const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST_ANSWER: usize = 1024 * 1024;

/// How to reach the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plainly.
    Http,
    /// By TLS, with the host as its name.
    Https,
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

/// Asks `path` of the instance or proxy at `address`.
pub async fn get(
    settings: &Settings,
    scheme: Scheme,
    address: SocketAddr,
    path: &str,
) -> anyhow::Result<Answer> {
    let answer = async {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        match scheme {
            Scheme::Http => exchange(stream, &settings.host, path).await,
            Scheme::Https => {
                let name = ServerName::try_from(settings.host.clone())
                    .with_context(|| format!("`{}` is not a host name", settings.host))?;
                let connector = TlsConnector::from(Arc::new(tls::client(settings.ca.as_deref())?));
                let stream = connector.connect(name, stream).await.context("no TLS")?;
                exchange(stream, &settings.host, path).await
            }
        }
    };
    tokio::time::timeout(PATIENCE, answer)
        .await
        .with_context(|| format!("no answer in {} s", PATIENCE.as_secs()))?
}

async fn exchange<S>(stream: S, host: &str, path: &str) -> anyhow::Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.context("no HTTP")?;
    let driver = tokio::spawn(connection);
    let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.context("no answer")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
    driver.abort();
    let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
    Ok(Answer { status, body })
}
