use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_rustls::TlsConnector;

use super::Endpoint;

/// An engine is on the same machine or on the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An SSH login may pass jump hosts and a slow directory.
const SSH_CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

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
        let limit = match *self.endpoint {
            Endpoint::Ssh { .. } => SSH_CONNECT_TIMEOUT,
            _ => CONNECT_TIMEOUT,
        };
        let opening = tokio::time::timeout(limit, self.dial()).await;
        opening.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer")))
    }

    async fn dial(&self) -> io::Result<Stream> {
        match &*self.endpoint {
            Endpoint::Unix(path) => Ok(Stream(Box::new(UnixStream::connect(path).await?))),
            Endpoint::Tcp { host, port } => self.dial_tcp(host, *port).await,
            Endpoint::Ssh { .. } => dial_ssh(&self.endpoint),
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

/// The same way as `docker` goes: its own `dial-stdio` on the other side, so nothing has to be opened
/// there. Never asks anything: there is nobody to answer.
fn dial_ssh(endpoint: &Endpoint) -> io::Result<Stream> {
    let mut child = Command::new("ssh")
        .args(ssh_arguments(endpoint))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(stdout), Some(stdin)) = (child.stdout.take(), child.stdin.take()) else {
        return Err(io::Error::other("`ssh` was started without its pipes"));
    };
    Ok(Stream(Box::new(SshStream { pipes: tokio::io::join(stdout, stdin), _child: child })))
}

fn ssh_arguments(endpoint: &Endpoint) -> Vec<String> {
    let Endpoint::Ssh { user, host, port, socket } = endpoint else {
        return Vec::new();
    };
    let mut arguments: Vec<String> =
        ["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"].map(str::to_owned).to_vec();
    if let Some(user) = user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["--".to_owned(), host.clone(), "docker".to_owned()]);
    if let Some(socket) = socket {
        // The words after the host are joined and read by a shell over there.
        let quoted = socket.display().to_string().replace('\'', r"'\''");
        arguments.extend(["--host".to_owned(), format!("'unix://{quoted}'")]);
    }
    arguments.extend(["system".to_owned(), "dial-stdio".to_owned()]);
    arguments
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

/// Reads what `ssh` prints, writes what it reads; the process ends with the connection.
struct SshStream {
    pipes: Join<ChildStdout, ChildStdin>,
    _child: Child,
}

impl AsyncRead for SshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_read(cx, buf)
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.pipes).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipes).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_gets_the_host_after_all_options_and_a_quoted_path() {
        let endpoint = "ssh://me@manager:2222/run/o'k/docker.sock".parse().unwrap();
        assert_eq!(
            ssh_arguments(&endpoint).join(" "),
            "-T -o BatchMode=yes -o ConnectTimeout=15 -l me -p 2222 -- manager docker \
             --host 'unix:///run/o'\\''k/docker.sock' system dial-stdio"
        );
    }
}
