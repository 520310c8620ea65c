//! One HTTP/1.1 connection, under exact control.
//!
//! Nothing runs in the background: the connection moves only while a request of ours is awaited.
//! So the look for an end of stream and the write that follows it are neighbours in one task, and
//! what a strict client loses is the fault of the other side, not of a scheduler.

mod counted;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

use self::counted::{Counted, Received};
use crate::loss::{Loss, Reason};
use crate::tls::Tls;

/// Either a TCP stream or TLS on one.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send + Sync {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Io for S {}

type Wire = TokioIo<Counted<Box<dyn Io>>>;

/// Bytes that arrive between two answers (session tickets of TLS) are given so long to be digested.
const DIGESTION: Duration = Duration::from_millis(50);
/// After `Connection: close` the server ends the connection; we wait so long for that.
const GOODBYE: Duration = Duration::from_secs(1);

/// What moves a connection along, until it has ended.
enum Driver {
    Moving(Box<http1::Connection<Wire, Empty<Bytes>>>),
    /// With the wire, for the farewell.
    Ended(Option<Wire>),
}

impl Driver {
    fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_))
    }

    /// Taken apart as soon as it has ended: a request that met the end of an idle connection, and waits in its
    /// queue, comes back only so.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Self::Moving(connection) = self else { return Poll::Ready(()) };
        // An error reaches whoever awaits an answer, and is told from there.
        if connection.poll_without_shutdown(context).is_pending() {
            return Poll::Pending;
        }
        if let Self::Moving(connection) = std::mem::replace(self, Self::Ended(None)) {
            *self = Self::Ended(Some(connection.into_parts().io));
        }
        Poll::Ready(())
    }
}

/// One connection.
pub(crate) struct Connection {
    sender: http1::SendRequest<Empty<Bytes>>,
    driver: Driver,
    received: Received,
    /// The same socket, to look at it without the runtime's memory of what it last saw there.
    socket: std::net::TcpStream,
}

/// The socket of a connection, for a look at it when nothing comes from there.
pub(crate) struct Line {
    /// Keeps it open until it was looked at.
    socket: std::net::TcpStream,
    since: &'static str,
}

impl Line {
    /// What the kernel tells of it: what was sent and acknowledged, and what came.
    pub(crate) async fn told(self) -> String {
        let port = self.socket.local_addr().map_or(0, |address| address.port());
        let filter = format!("sport = :{port}");
        let ss = tokio::process::Command::new("ss").args(["-tinH", &filter]).output().await;
        let words = match ss {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => format!("ss: {error}"),
        };
        let words: Vec<&str> = words.split_whitespace().collect();
        format!("{} connection, {}", self.since, words.join(" "))
    }
}

/// Why a request did not get the head of an answer.
pub(crate) struct Unanswered {
    /// What it counts as, if it counts.
    pub(crate) loss: Loss,
    /// Not one byte of an answer arrived.
    pub(crate) before_first_byte: bool,
    /// The request was not even written.
    pub(crate) unsent: bool,
}

/// Opens a stream to the target.
pub(crate) async fn open(
    address: SocketAddr,
    tls: Option<&Tls>,
) -> Result<(Box<dyn Io>, std::net::TcpStream), Loss> {
    let (stream, socket) = connect(address).await.map_err(|error| Loss::connect(&error))?;
    let Some(tls) = tls else {
        return Ok((Box::new(stream), socket));
    };
    let shaken = tls.connector.connect(tls.name.clone(), stream).await;
    let stream = shaken.map_err(|error| Loss::new(Reason::Tls, error.to_string()))?;
    Ok((Box::new(stream), socket))
}

async fn connect(address: SocketAddr) -> io::Result<(TcpStream, std::net::TcpStream)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let socket = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, socket))
}

impl Connection {
    /// Connects, with TLS if the target wants it.
    pub(crate) async fn open(address: SocketAddr, tls: Option<&Tls>) -> Result<Self, Loss> {
        let (stream, socket) = open(address, tls).await?;
        let (stream, received) = Counted::new(stream);
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(|error| Loss::broken(&error, false))?;
        Ok(Self { sender, driver: Driver::Moving(Box::new(driver)), received, socket })
    }

    /// Its socket.
    pub(crate) fn line(&self, since: &'static str) -> Option<Line> {
        Some(Line { socket: self.socket.try_clone().ok()?, since })
    }

    /// Whether another request may be sent: the connection is ready and, right now, the other side
    /// has not ended it.
    pub(crate) async fn is_reusable(&mut self) -> bool {
        let ready = tokio::time::timeout(DIGESTION, self.become_quiet()).await;
        ready.unwrap_or(false)
    }

    async fn become_quiet(&mut self) -> bool {
        let Self { sender, driver, socket, .. } = self;
        loop {
            if driver.has_ended() || drive(driver, sender.ready()).await.is_err() {
                return false;
            }
            match socket.peek(&mut [0]) {
                Ok(0) => return false,
                Ok(_) => drive(driver, tokio::time::sleep(Duration::from_millis(1))).await,
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// Sends a request and awaits the head of the answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Empty<Bytes>>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let before = self.received.bytes();
        let Self { sender, driver, .. } = self;
        drive(driver, sender.try_send_request(request)).await.map_err(|mut error| {
            let before_first_byte = self.received.bytes() == before;
            Unanswered {
                unsent: error.take_message().is_some(),
                loss: Loss::broken(error.error(), !before_first_byte),
                before_first_byte,
            }
        })
    }

    /// The next piece of the answer; `None` at its proper end.
    pub(crate) async fn next_piece(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, Loss> {
        loop {
            let frame = drive(&mut self.driver, body.frame()).await;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(Loss::broken(&error, true)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads the answer to its proper end.
    pub(crate) async fn finish(&mut self, mut body: Incoming) -> Result<(), Loss> {
        while self.next_piece(&mut body).await?.is_some() {}
        Ok(())
    }

    /// Lets the server end the connection first, as it said it would, so that the port is free
    /// again at once on our side.
    pub(crate) async fn part(self) {
        let Self { sender, mut driver, .. } = self;
        drop(sender);
        let goodbye = async {
            std::future::poll_fn(|context| driver.poll(context)).await;
            if let Driver::Ended(Some(wire)) = driver {
                let mut wire = wire.into_inner();
                let mut rest = [0; 512];
                while matches!(wire.read(&mut rest).await, Ok(length) if length > 0) {}
            }
        };
        // A server that does not end it loses nothing.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

/// Awaits `work` while moving the connection along.
async fn drive<F: Future>(driver: &mut Driver, work: F) -> F::Output {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = work.as_mut().poll(context) {
            return Poll::Ready(output);
        }
        let _ = driver.poll(context);
        work.as_mut().poll(context)
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    fn get() -> Request<Empty<Bytes>> {
        Request::get("/").header("host", "books").body(Empty::new()).unwrap()
    }

    /// Whoever looked a moment ago, and saw that it was open, learns that it is not when they send: at
    /// once, and with the request in hand.
    #[tokio::test]
    async fn a_request_that_meets_the_end_of_an_idle_connection_comes_back_unsent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        });
        let mut connection = Connection::open(address, None).await.unwrap();
        let answer = connection.send(get()).await.unwrap_or_else(|_| panic!("an answer"));
        connection.finish(answer.into_body()).await.unwrap_or_else(|_| panic!("its end"));
        server.await.unwrap();
        let sent = tokio::time::timeout(Duration::from_secs(5), connection.send(get())).await;
        let Err(failure) = sent.expect("it never comes back") else { panic!("nobody answers") };
        assert!(failure.unsent && failure.before_first_byte);
    }

    /// The port is free again on the client's side.
    #[tokio::test]
    async fn the_server_ends_first_what_it_said_it_would() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 512];
            assert!(stream.read(&mut bytes).await.unwrap() > 0);
            let answer = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            tokio::time::timeout(GOODBYE / 4, stream.read(&mut bytes)).await
        });
        let mut connection = Connection::open(address, None).await.unwrap();
        let answer = connection.send(get()).await.unwrap_or_else(|_| panic!("an answer"));
        connection.finish(answer.into_body()).await.unwrap_or_else(|_| panic!("its end"));
        let ((), ended) = tokio::join!(connection.part(), server);
        assert!(ended.unwrap().is_err(), "the client ended it");
    }

    /// A request for which the connection was found ready: the request waits in its queue when the end is seen.
    #[tokio::test]
    async fn a_request_that_meets_the_end_of_a_ready_connection_comes_back_unsent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ends) = tokio::sync::oneshot::channel::<()>();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 512];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            ends.await.unwrap();
        });
        let mut connection = Connection::open(address, None).await.unwrap();
        let answer = connection.send(get()).await.unwrap_or_else(|_| panic!("an answer"));
        connection.finish(answer.into_body()).await.unwrap_or_else(|_| panic!("its end"));
        assert!(connection.is_reusable().await);
        end.send(()).unwrap();
        server.await.unwrap();
        while !matches!(connection.socket.peek(&mut [0]), Ok(0)) {
            tokio::task::yield_now().await;
        }
        let sent = tokio::time::timeout(Duration::from_secs(5), connection.send(get())).await;
        let Err(failure) = sent.expect("it never comes back") else { panic!("nobody answers") };
        assert!(failure.unsent && failure.before_first_byte);
    }
}
