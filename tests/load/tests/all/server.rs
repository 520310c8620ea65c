//! Servers that misbehave as told.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::routing::get;
use futures_util::stream;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does to every connection.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// Answers properly, and keeps the connection.
    Answer,
    /// Answers properly, then ends the connection unasked.
    AnswerThenEnd,
    /// Answers one request; reads another and ends the connection.
    AnswerOnce,
    /// Answers with this status.
    Status(u16),
    /// Reads the request and resets the connection.
    Reset,
    /// Reads the request and ends the connection.
    End,
    /// Ends the connection within the body.
    EndInAnswer,
    /// Answers something that is not HTTP.
    Garbage,
    /// Never answers.
    Silence,
    /// Begins a stream and ends the connection.
    StreamCut,
    /// Begins a stream and ends it properly, far too early.
    StreamEndsEarly,
    /// Leaves a line of a stream out.
    StreamSkips,
}

/// A server on a free port of the loopback.
pub struct Scripted {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nx-books-colour: blue\r\ncontent-length: 2\r\n\r\nok";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

impl Scripted {
    pub async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(play(stream, act));
            }
        });
        Self { address, task }
    }

    /// Stops listening, and says where nobody listens now.
    pub async fn stop(mut self) -> SocketAddr {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.address
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(stream: TcpStream, act: Act) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut requests = 0;
    while read_request(&mut stream).await.is_some() {
        requests += 1;
        let status;
        let text = match act {
            Act::Answer | Act::AnswerThenEnd => ANSWER,
            Act::AnswerOnce if requests == 1 => ANSWER,
            Act::Status(code) => {
                status = format!("HTTP/1.1 {code} No\r\ncontent-length: 0\r\n\r\n");
                &status
            }
            Act::Reset => {
                stream.get_mut().set_zero_linger().ok()?;
                return None;
            }
            Act::AnswerOnce | Act::End => return None,
            Act::EndInAnswer => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok",
            Act::Garbage => "SMTP ready\r\n\r\n",
            Act::Silence => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return None;
            }
            Act::StreamCut => &format!("{CHUNKED}7\r\n0 blue\n\r\n"),
            Act::StreamEndsEarly => &format!("{CHUNKED}7\r\n0 blue\n\r\n0\r\n\r\n"),
            Act::StreamSkips => &format!("{CHUNKED}7\r\n0 blue\n\r\n7\r\n2 blue\n\r\n"),
        };
        stream.write_all(text.as_bytes()).await.ok()?;
        match act {
            Act::Answer | Act::AnswerOnce | Act::Status(_) => {}
            _ => return None,
        }
    }
    None
}

/// Reads one head; none of the requests has a body.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<()> {
    loop {
        let mut line = String::new();
        match stream.read_line(&mut line).await {
            Ok(length) if length > 0 => {}
            _ => return None,
        }
        if line == "\r\n" {
            return Some(());
        }
    }
}

/// A well-behaved stream of a second and a web socket that echoes.
pub async fn service() -> SocketAddr {
    let router = Router::new().route("/api/v1/books/stream", get(lines)).route(
        "/api/v1/books/ws",
        get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn lines() -> Body {
    Body::from_stream(stream::unfold(0, |number| async move {
        if number == 10 {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok::<_, Infallible>(format!("{number} blue\n")), number + 1))
    }))
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}
