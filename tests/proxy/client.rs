//! A client that treats everything but the right answer as lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// An answer: status, head and body.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// One request over a connection of its own.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Result<Answer, String> {
    get_with(address, host, path, &[]).await
}

/// The same with further headers.
pub async fn get_with(
    address: SocketAddr,
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, String> {
    let more: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let more = more.concat();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    let request = format!("{head}{more}\r\n");
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
        stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.map_err(|e| e.to_string())?;
        parse(&bytes)
    };
    let limited = tokio::time::timeout(Duration::from_secs(10), exchange).await;
    limited.map_err(|_| "timeout".to_owned())?
}

fn parse(bytes: &[u8]) -> Result<Answer, String> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").ok_or(format!("no answer: {text:?}"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        dechunk(body)?
    } else {
        body.to_owned()
    };
    Ok(Answer {
        status: status.ok_or(format!("no status: {head:?}"))?,
        head: head.to_owned(),
        body,
    })
}

fn dechunk(mut text: &str) -> Result<String, String> {
    let mut whole = String::new();
    loop {
        let (size, rest) = text.split_once("\r\n").ok_or("end within a chunk")?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(|e| e.to_string())?;
        if size == 0 {
            return Ok(whole);
        }
        whole.push_str(rest.get(..size).ok_or("end within a chunk")?);
        text = rest.get(size + 2..).ok_or("end within a chunk")?;
    }
}

/// One request on a connection that is kept, answered with a length.
async fn ask(stream: &mut TcpStream, host: &str, path: &str) -> Result<Answer, String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).await.map_err(|e| e.to_string())?;
        if length == 0 {
            return Err("closed before the answer".to_owned());
        }
        bytes.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let lower = head.to_ascii_lowercase();
        let expected = lower
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next())
            .and_then(|length| length.trim().parse::<usize>().ok());
        if expected.is_some_and(|expected| body.len() >= expected) {
            return parse(&bytes);
        }
    }
}

/// A connection that is kept, and retries nothing.
pub struct Kept {
    stream: TcpStream,
    host: String,
}

impl Kept {
    pub async fn open(address: SocketAddr, host: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, host: host.to_owned() }
    }

    pub async fn ask(&mut self, path: &str) -> Result<Answer, String> {
        let asked = ask(&mut self.stream, &self.host, path);
        let limited = tokio::time::timeout(Duration::from_secs(10), asked).await;
        limited.map_err(|_| "timeout".to_owned())?
    }
}

/// Constant load until it is stopped.
pub struct Load {
    stop: CancellationToken,
    clients: JoinSet<()>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    sent: AtomicUsize,
    lost: std::sync::Mutex<Vec<String>>,
}

/// What became of the requests.
#[derive(Debug)]
pub struct Outcome {
    pub sent: usize,
    pub lost: Vec<String>,
}

impl Load {
    /// `fresh` clients that make a connection per request and `kept` that keep theirs. The latter send
    /// a request once more when a reused connection closed before the first byte of its answer, as
    /// browsers do.
    pub fn start(address: SocketAddr, host: &str, fresh: usize, kept: usize) -> Self {
        let stop = CancellationToken::new();
        let counts = Arc::new(Counts::default());
        let mut clients = JoinSet::new();
        for index in 0..fresh + kept {
            let (stop, counts, host) = (stop.clone(), counts.clone(), host.to_owned());
            clients.spawn(async move {
                if index < fresh {
                    fresh_client(address, &host, &stop, &counts).await;
                } else {
                    kept_client(address, &host, &stop, &counts).await;
                }
            });
        }
        Self { stop, clients, counts }
    }

    pub async fn stop(mut self) -> Outcome {
        self.stop.cancel();
        while self.clients.join_next().await.is_some() {}
        Outcome {
            sent: self.counts.sent.load(Ordering::Relaxed),
            lost: self.counts.lost.lock().unwrap().clone(),
        }
    }
}

impl Counts {
    fn note(&self, answer: Result<Answer, String>) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let lost = match answer {
            Ok(answer) if answer.status == 200 => return,
            Ok(answer) => format!("status {}", answer.status),
            Err(why) => why,
        };
        self.lost.lock().unwrap().push(lost);
    }
}

/// Between two requests of a client: some hundred a second each.
const PAUSE: Duration = Duration::from_millis(2);

async fn fresh_client(address: SocketAddr, host: &str, stop: &CancellationToken, counts: &Counts) {
    while !stop.is_cancelled() {
        counts.note(get(address, host, "/x").await);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn kept_client(address: SocketAddr, host: &str, stop: &CancellationToken, counts: &Counts) {
    let mut kept: Option<TcpStream> = None;
    while !stop.is_cancelled() {
        let reused = kept.is_some();
        let mut answer = once(&mut kept, address, host).await;
        if answer.is_err() && reused {
            kept = None;
            answer = once(&mut kept, address, host).await;
        }
        let closes = answer.as_ref().map_or(true, |answer| {
            answer.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"))
        });
        if closes {
            kept = None;
        }
        counts.note(answer);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn once(
    kept: &mut Option<TcpStream>,
    address: SocketAddr,
    host: &str,
) -> Result<Answer, String> {
    let stream = match kept {
        Some(stream) => stream,
        None => kept.insert(TcpStream::connect(address).await.map_err(|e| e.to_string())?),
    };
    let asked = tokio::time::timeout(Duration::from_secs(10), ask(stream, host, "/x")).await;
    asked.map_err(|_| "timeout".to_owned())?
}
