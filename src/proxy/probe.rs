//! Requests over fresh connections that show what a proxy really does.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::{Error, Result};
use crate::model::{Colour, ServiceName};
use crate::tls::{self, TlsError};

/// Name of the header that asks for proof; its value is the secret.
pub(crate) const HEADER: &str = "X-Verdigris-Probe";
const UPSTREAM: &str = "x-verdigris-upstream";
const COLOUR: &str = "x-verdigris-colour";
const SERVICE: &str = "x-verdigris-service";

/// One probe; a proxy answers within its own connect timeout (1 s) and one retry.
const LIMIT: Duration = Duration::from_secs(3);

/// Largest body read of the private listener.
const MOST_BYTES: usize = 1024;

/// A public listener and a name that is served there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub address: SocketAddr,
    pub tls: bool,
    pub host: String,
    pub path: String,
}

/// What a probe was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: StatusCode,
    /// The instance that answered; none when the proxy itself did.
    pub upstream: Option<SocketAddr>,
    pub colour: Option<Colour>,
}

/// Sends probes.
#[derive(Clone)]
pub(crate) struct Prober {
    secret: String,
    /// Or why there is none.
    tls: Result<Arc<ClientConfig>, String>,
}

impl Prober {
    /// A prober that knows `secret` and trusts the authority in `ca`, or the system's without one.
    pub fn new(secret: &str, ca: Option<&Path>) -> Result<Self> {
        let tls = match tls::client(ca, None) {
            Ok(mut tls) => {
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                // Each probe is to show what a new client meets.
                tls.resumption = Resumption::disabled();
                Ok(Arc::new(tls))
            }
            Err(TlsError::File { path, source }) => {
                return Err(Error::File { act: "use", path, source: io::Error::other(source) });
            }
            // A proxy without HTTPS does not need it.
            Err(error) => Err(error.to_string()),
        };
        Ok(Self { secret: secret.to_owned(), tls })
    }

    /// Who answers `target`; with a colour of a service, who would if that colour were live.
    pub async fn ask(
        &self,
        target: &Target,
        of: Option<&(ServiceName, Colour)>,
    ) -> Result<Answer, String> {
        let asked = timeout(LIMIT, self.exchange(target, of)).await;
        asked.unwrap_or_else(|_| {
            Err(format!("no answer within {}", humantime::format_duration(LIMIT)))
        })
    }

    async fn exchange(
        &self,
        target: &Target,
        of: Option<&(ServiceName, Colour)>,
    ) -> Result<Answer, String> {
        let mut request = Request::builder()
            .method(Method::HEAD)
            .uri(&target.path)
            .header(header::HOST, &target.host)
            .header(header::USER_AGENT, "verdigris")
            .header(header::CONNECTION, "close")
            .header(HEADER, &self.secret);
        if let Some((service, colour)) = of {
            request = request.header(SERVICE, service.as_str()).header(COLOUR, colour.as_str());
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let stream = connect(target.address).await?;
        let response = if target.tls {
            let name =
                ServerName::try_from(target.host.clone()).map_err(|error| error.to_string())?;
            let connector = TlsConnector::from(self.tls.clone()?);
            let stream = connector.connect(name, stream).await;
            send(stream.map_err(|error| format!("TLS: {error}"))?, request).await?
        } else {
            send(stream, request).await?
        };
        Ok(Answer {
            status: response.status(),
            upstream: header_of(&response, UPSTREAM).and_then(last_address),
            colour: header_of(&response, COLOUR).and_then(|text| text.parse().ok()),
        })
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| format!("cannot connect to {address}: {error}"))?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

async fn send<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
) -> Result<Response<hyper::body::Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(|error| error.to_string())
}

fn header_of<'a>(response: &'a Response<hyper::body::Incoming>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// nginx lists every instance that it tried; the last one answered.
fn last_address(text: &str) -> Option<SocketAddr> {
    let last = text.rsplit([',', ' ']).next()?;
    last.parse().ok().or_else(|| {
        let (ip, port) = last.rsplit_once(':')?;
        Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
    })
}

/// The generation that the private listener at `address` tells; none when it tells none.
pub(crate) async fn generation(address: SocketAddr) -> Result<Option<String>> {
    let asked = timeout(LIMIT, ask_generation(address)).await;
    let asked = asked.unwrap_or_else(|_| Err(format!("{address} does not answer")));
    asked.map_err(|why| Error::NotRunning { why })
}

/// Whether a proxy that goes by `config` tells who answered a probe: so does what is rendered here, and
/// nothing else.
pub(crate) fn is_answered_by(config: &str) -> bool {
    config.to_ascii_lowercase().contains(UPSTREAM)
}

/// Whether nobody listens at `address`, rather than somebody who does not answer.
pub(crate) async fn is_closed(address: SocketAddr) -> bool {
    let connected = timeout(LIMIT, TcpStream::connect(address)).await;
    matches!(connected, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}

async fn ask_generation(address: SocketAddr) -> Result<Option<String>, String> {
    let request = Request::builder()
        .uri("/generation")
        .header(header::HOST, address.to_string())
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = send(connect(address).await?, request).await?;
    if response.status() != StatusCode::OK {
        return Ok(None);
    }
    let body = Limited::new(response.into_body(), MOST_BYTES).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(Some(String::from_utf8_lossy(&body).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_upstream_answered() {
        let two = last_address("10.0.0.1:80, 10.0.0.2:81");
        assert_eq!(two, Some("10.0.0.2:81".parse().unwrap()));
        assert_eq!(last_address("::1:81"), Some("[::1]:81".parse().unwrap()));
        assert_eq!(last_address("unix:/run/x.sock"), None);
    }
}
