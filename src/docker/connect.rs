use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::{Endpoint, ssh};

/// An engine is on the same machine or on the same network. `ssh` counts for itself how long it takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens connections to one engine.
#[derive(Clone)]
pub(super) struct Connector {
    endpoint: Arc<Endpoint>,
    tls: Option<TlsConnector>,
}

impl Connector {
    pub fn new(endpoint: Arc<Endpoint>, tls: Option<Arc<rustls::ClientConfig>>) -> Self {
        Self { endpoint, tls: tls.map(TlsConnector::from) }
    }

    async fn open(self) -> io::Result<Stream> {
        let opening = tokio::time::timeout(CONNECT_TIMEOUT, self.dial()).await;
        opening.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")))
    }

    async fn dial(&self) -> io::Result<Stream> {
        match &*self.endpoint {
            Endpoint::Unix(path) => Ok(Stream(Box::new(UnixStream::connect(path).await?))),
            Endpoint::Tcp { host, port } => self.dial_tcp(host, *port).await,
            Endpoint::Ssh { .. } => Ok(Stream(Box::new(ssh::dial(&self.endpoint)?))),
        }
    }

    async fn dial_tcp(&self, host: &str, port: Option<u16>) -> io::Result<Stream> {
        let usual = if self.tls.is_some() { 2376 } else { 2375 };
        let tcp = TcpStream::connect((host, port.unwrap_or(usual))).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Stream(Box::new(tcp)));
        };
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Stream(Box::new(tls.connect(name, tcp).await?)))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let opening = self.clone().open();
        Box::pin(async move { opening.await.map(TokioIo::new) })
    }
}

/// A connection of whatever kind.
pub(super) struct Stream(Box<dyn Duplex>);

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
