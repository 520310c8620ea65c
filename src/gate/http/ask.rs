//! One request over a connection of its own: address and name are chosen apart.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::target::{Address, Target};
use super::tls::Trusted;
use crate::model::HttpCheck;

/// A larger body is not what a check looks at.
const LARGEST_BODY: usize = 8 << 20;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// From before the connection to the last byte.
    pub took: Duration,
}

/// Nothing came, or not all.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("the TLS handshake failed")]
    Handshake(#[source] io::Error),
    #[error("the request cannot be made")]
    Request(#[source] hyper::http::Error),
    #[error("no whole answer")]
    Answer(#[source] hyper::Error),
    #[error("its body is larger than {} MiB", LARGEST_BODY >> 20)]
    TooLarge,
    #[error("no whole answer within {}", humantime::format_duration(*.0))]
    TooSlow(Duration),
}

/// Ask `target` once; no longer than the check allows an answer to take.
pub async fn ask(
    check: &HttpCheck,
    target: &Target,
    trusted: &Trusted,
) -> Result<Answer, AskError> {
    let begun = Instant::now();
    let asking = exchange(check, target, trusted);
    let (head, body) = match check.max_time {
        Some(limit) => {
            tokio::time::timeout(limit, asking).await.unwrap_or(Err(AskError::TooSlow(limit)))?
        }
        None => asking.await?,
    };
    Ok(Answer {
        status: head.status(),
        headers: head.headers().clone(),
        body,
        took: begun.elapsed(),
    })
}

async fn exchange(
    check: &HttpCheck,
    target: &Target,
    trusted: &Trusted,
) -> Result<(Response<()>, Bytes), AskError> {
    let request = request(check, target).map_err(AskError::Request)?;
    let tcp = match &target.address {
        Address::Socket(address) => TcpStream::connect(address).await,
        Address::Named(name, port) => TcpStream::connect((name.as_str(), *port)).await,
    };
    let tcp = tcp.map_err(AskError::Connect)?;
    tcp.set_nodelay(true).map_err(AskError::Connect)?;
    if !target.tls {
        return send(tcp, request).await;
    }
    let ca = target.through.as_ref().and_then(|through| through.ca.as_deref());
    let unprepared = || AskError::Handshake(io::Error::other("no authority was read for it"));
    let connector = trusted.by(ca).ok_or_else(unprepared)?;
    let name = match (&target.host, &target.address) {
        (Some(name), _) | (None, Address::Named(name, _)) => {
            ServerName::try_from(name.clone()).map_err(io::Error::other)
        }
        (None, Address::Socket(address)) => Ok(ServerName::from(address.ip())),
    };
    let connecting = connector.connect(name.map_err(AskError::Handshake)?, tcp);
    send(connecting.await.map_err(AskError::Handshake)?, request).await
}

fn request(
    check: &HttpCheck,
    target: &Target,
) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder().method(check.method.as_str()).uri(&target.path);
    let own = |name: &str| check.headers.keys().any(|header| header.eq_ignore_ascii_case(name));
    if !own("host") {
        request = request.header(HOST, target.authority());
    }
    if !own("user-agent") {
        request = request.header(USER_AGENT, concat!("verdigris/", env!("CARGO_PKG_VERSION")));
    }
    for (name, value) in &check.headers {
        request = request.header(name, value);
    }
    let probe = target.through.as_ref().and_then(|through| through.probe.as_ref());
    if let Some((name, value)) = probe {
        request = request.header(name, value);
    }
    request.body(Empty::new())
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<(Response<()>, Bytes), AskError> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(AskError::Answer)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(AskError::Answer)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, LARGEST_BODY).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return AskError::TooLarge;
            }
            match error.downcast::<hyper::Error>() {
                Ok(error) => AskError::Answer(*error),
                Err(_) => AskError::TooLarge,
            }
        })?;
        Ok((Response::from_parts(head, ()), body.to_bytes()))
    };
    // The connection has to be driven for as long as the exchange takes, and no longer.
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        exchanged = &mut exchange => exchanged,
        _ = connection => exchange.await,
    }
}
