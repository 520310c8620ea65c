//! An instance: says who it is, slowly, in a stream, or over a WebSocket-like upgrade.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use verdigris::model::Backend;

/// A running instance; it stops to accept and drops its connections when it is dropped.
pub struct Instance {
    pub name: String,
    pub address: SocketAddr,
    state: Arc<State>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

struct State {
    name: String,
    status: AtomicU16,
    active: AtomicUsize,
    requests: AtomicUsize,
    held: Semaphore,
}

impl Instance {
    pub async fn start(name: &str) -> Self {
        Self::start_at(name, Ipv4Addr::LOCALHOST.into()).await
    }

    pub async fn start_at(name: &str, ip: IpAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            name: name.to_owned(),
            status: AtomicU16::new(200),
            active: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            held: Semaphore::new(0),
        });
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(serve(listener, state.clone(), stop.clone(), tasks.clone()));
        tasks.close();
        Self { name: name.to_owned(), address, state, stop, tasks }
    }

    pub fn backend(&self) -> Backend {
        Backend { task: format!("task-{}", self.name), address: self.address }
    }

    /// Answer every request with this status from now on.
    pub fn answer(&self, status: u16) {
        self.state.status.store(status, Ordering::Relaxed);
    }

    /// Let the requests below `/held` go on.
    pub fn release(&self) {
        self.state.held.close();
    }

    /// Requests under way.
    pub fn active(&self) -> usize {
        self.state.active.load(Ordering::Relaxed)
    }

    /// Requests begun so far.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// Stop at once, with everything that is under way.
    pub async fn kill(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(
    listener: TcpListener,
    state: Arc<State>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let Ok((stream, _)) = accepted else { continue };
        let state = state.clone();
        let stop = stop.clone();
        tasks.spawn(async move {
            let service = service_fn(|request| answer(request, state.clone()));
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            tokio::select! {
                _ = connection => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

struct Active(Arc<State>);

impl Active {
    fn new(state: &Arc<State>) -> Self {
        state.active.fetch_add(1, Ordering::Relaxed);
        state.requests.fetch_add(1, Ordering::Relaxed);
        Self(state.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

type Body = BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Body>, Infallible> {
    let active = Active::new(&state);
    let status = StatusCode::from_u16(state.status.load(Ordering::Relaxed)).unwrap();
    let seen: Vec<String> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
        .collect();
    let path = request.uri().path().to_owned();
    let millis = || path.rsplit('/').next().and_then(|last| last.parse().ok()).unwrap_or(100);
    let builder = Response::builder().status(status).header("x-verdigris-upstream", "forged");
    let response = if request.headers().contains_key(header::UPGRADE) {
        tokio::spawn(echo(request, active));
        let builder = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        let builder = builder.header(header::CONNECTION, "upgrade");
        // The answer to the key of RFC 6455's example, which the test sends.
        let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        let builder = builder.header(header::SEC_WEBSOCKET_ACCEPT, accept);
        builder.header(header::UPGRADE, "websocket").body(whole(""))
    } else if path.contains("/held") {
        // An error says that the wait is over.
        let _ = state.held.acquire().await;
        builder.body(whole(&state.name))
    } else if path.contains("/stream/") {
        builder.body(stream(millis(), state.name.clone(), active))
    } else if path.contains("/headers") {
        builder.body(whole(&seen.join("\n")))
    } else {
        let body = request.into_body().collect().await;
        let length = body.map_or(0, |body| body.to_bytes().len());
        let builder = builder.header("x-received", length);
        builder.body(whole(&state.name))
    };
    Ok(response.unwrap())
}

fn whole(text: &str) -> Body {
    Full::new(Bytes::from(text.to_owned())).boxed()
}

/// Twenty lines over `millis`.
fn stream(millis: u64, name: String, active: Active) -> Body {
    let lines = futures_util::stream::unfold((0, active), move |(sent, active)| {
        let name = name.clone();
        async move {
            if sent == 20 {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(millis / 20)).await;
            let line = Bytes::from(format!("{name} {sent}\n"));
            Some((Ok(Frame::data(line)), (sent + 1, active)))
        }
    });
    BodyExt::boxed(StreamBody::new(
        Box::pin(lines) as std::pin::Pin<Box<dyn futures_util::Stream<Item = _> + Send + Sync>>
    ))
}

async fn echo(request: Request<Incoming>, active: Active) {
    let Ok(upgraded) = hyper::upgrade::on(request).await else {
        return;
    };
    let mut upgraded = TokioIo::new(upgraded);
    let mut buffer = [0; 1024];
    while let Ok(length) = upgraded.read(&mut buffer).await {
        if length == 0 || upgraded.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    drop(active);
}
