//! Listens, and carries HTTP between connections and the router.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tower_http::add_extension::AddExtensionLayer;

use super::auth::Peer;

/// Owner and group may connect.
const SOCKET_MODE: u32 = 0o660;

/// Connections at a time, per listener; more wait in the kernel's queue.
const CONNECTIONS: usize = 1000;

/// A client that has connected has this long to send the head of its next request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A peer that acknowledges nothing for this long is gone.
const PEER_TIMEOUT: Duration = Duration::from_secs(30);

/// Requests under way have this long to end when the daemon stops.
const FAREWELL: Duration = Duration::from_secs(5);

/// After a failed accept (no file descriptors, most likely) it is tried again after this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another daemon answers there.
    #[error("`{}` is in use by another daemon; stop that, or give this one another socket", .0.display())]
    InUse(PathBuf),
    /// A file of another kind is in the way.
    #[error("`{}` exists and is not a socket; move it away, or give the daemon another path", .0.display())]
    NotASocket(PathBuf),
    /// The operating system says no.
    #[error("cannot listen on unix socket `{}`; its directory must exist and be writable", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// What it says.
        #[source]
        source: io::Error,
    },
    /// The operating system says no.
    #[error("cannot listen on `{address}`")]
    Address {
        /// Where.
        address: SocketAddr,
        /// What it says.
        #[source]
        source: io::Error,
    },
}

/// Where clients connect.
#[derive(Debug)]
pub enum Listener {
    /// On a unix socket.
    Unix(Socket),
    /// On a TCP port.
    Tcp(TcpListener),
}

/// A unix socket that is removed when the daemon stops.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

impl Listener {
    /// Listen on a unix socket at `path`, for owner and group. A socket that nobody listens on any
    /// more is replaced.
    pub async fn unix(path: &Path) -> Result<Self, BindError> {
        match tokio::fs::symlink_metadata(path).await {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(BindError::NotASocket(path.to_owned()));
            }
            Ok(_) if UnixStream::connect(path).await.is_ok() => {
                return Err(BindError::InUse(path.to_owned()));
            }
            _ => {}
        }
        let failed = |source| BindError::Socket { path: path.to_owned(), source };
        Socket::bind(path).map(Self::Unix).map_err(failed)
    }

    /// Listen on `address`; port 0 picks a free one.
    pub async fn tcp(address: SocketAddr) -> Result<Self, BindError> {
        let bound = TcpListener::bind(address).await;
        bound.map(Self::Tcp).map_err(|source| BindError::Address { address, source })
    }

    /// The TCP address, if it is one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(listener) => listener.local_addr().ok(),
        }
    }
}

impl Socket {
    /// Bound under another name and renamed, so that nobody connects before the mode is set, and a
    /// socket left by a daemon that died is replaced in one act.
    fn bind(path: &Path) -> io::Result<Self> {
        let mut staged = path.as_os_str().to_owned();
        staged.push(format!(".{}", std::process::id()));
        let staged = PathBuf::from(staged);
        let _ = std::fs::remove_file(&staged);
        let listener = UnixListener::bind(&staged)?;
        let mode = std::fs::Permissions::from_mode(SOCKET_MODE);
        let placed = std::fs::set_permissions(&staged, mode)
            .and_then(|()| std::fs::rename(&staged, path))
            .and_then(|()| std::fs::symlink_metadata(path));
        match placed {
            Ok(found) => Ok(Self { listener, path: path.to_owned(), inode: found.ino() }),
            Err(error) => {
                let _ = std::fs::remove_file(&staged);
                Err(error)
            }
        }
    }
}

impl Drop for Socket {
    /// Only the own one: a newer daemon may have put its socket there.
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Answer whoever connects to `listener`, until `shutdown`; requests under way then have a few
/// seconds to end.
pub async fn serve(listener: Listener, router: Router, shutdown: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, room.clone()) => accepted,
        };
        match accepted {
            Ok((permit, connection)) => {
                let (router, watcher) = (router.clone(), graceful.watcher());
                connections.spawn(async move {
                    connection.answer(router, watcher).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections that do not end");
    }
}

enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream, SocketAddr),
}

async fn accept(
    listener: &Listener,
    room: Arc<Semaphore>,
) -> io::Result<(OwnedSemaphorePermit, Connection)> {
    let permit = room.acquire_owned().await.map_err(io::Error::other)?;
    let connection = match listener {
        Listener::Unix(socket) => Connection::Unix(socket.listener.accept().await?.0),
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_tcp_user_timeout(Some(PEER_TIMEOUT))?;
            Connection::Tcp(stream, address)
        }
    };
    Ok((permit, connection))
}

impl Connection {
    async fn answer(self, router: Router, watcher: Watcher) {
        match self {
            Self::Unix(stream) => {
                let uid = stream.peer_cred().ok().map(|peer| peer.uid());
                talk(stream, Peer::User(uid), router, watcher).await;
            }
            Self::Tcp(stream, address) => {
                talk(stream, Peer::Address(address), router, watcher).await;
            }
        }
    }
}

async fn talk<S>(stream: S, peer: Peer, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(AddExtensionLayer::new(peer).layer(router));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("a connection broke: {error}");
    }
}
