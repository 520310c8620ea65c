use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use reqwest::header::ACCEPT;
use reqwest::{Method, Response};
use sse_stream::{Sse, SseByteStream};

use super::{Client, ClientError};
use crate::model::{DeploymentId, Event, Happening};

/// A daemon that is being replaced is back well within this.
const RECONNECT_FOR: Duration = Duration::from_secs(60);

/// The first pause before a stream is taken up again; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The daemon says something at least every 10 s; after three times that the connection is dead.
const SILENCE: Duration = Duration::from_secs(30);

/// What following tells.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "one at a time")]
pub enum Followed {
    /// Something happened.
    Event(Event),
    /// The connection broke; it is being taken up again where it broke.
    Reconnecting,
    /// It is there again.
    Reconnected,
}

/// What happens, taken up again where it broke when a connection breaks.
pub struct Events {
    client: Client,
    what: What,
    open: Option<BoxStream<'static, Result<Sse, sse_stream::Error>>>,
    last: Option<u64>,
    trouble: Option<Trouble>,
    over: bool,
}

enum What {
    Deployment { id: DeploymentId, hold: bool },
    All,
}

/// Attempts to open the stream, or to take it up again.
struct Trouble {
    since: Instant,
    pause: Duration,
    /// The caller was told that the connection broke.
    told: bool,
}

impl Trouble {
    /// A deployment that was just accepted is worth some patience from the first attempt on.
    fn at_the_start() -> Self {
        Self { since: Instant::now(), pause: Duration::ZERO, told: false }
    }

    fn of_a_break() -> Self {
        Self { since: Instant::now(), pause: FIRST_PAUSE, told: true }
    }

    fn lasts(&mut self) {
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }
}

impl Events {
    pub(super) fn of_deployment(client: Client, id: DeploymentId, hold: bool) -> Self {
        let trouble = Some(Trouble::at_the_start());
        Self { trouble, ..Self::new(client, What::Deployment { id, hold }) }
    }

    pub(super) fn of_all(client: Client) -> Self {
        Self::new(client, What::All)
    }

    fn new(client: Client, what: What) -> Self {
        Self { client, what, open: None, last: None, trouble: None, over: false }
    }

    /// The next thing to tell; none after a deployment's end. Can be dropped at any await without
    /// losing an event.
    pub async fn next(&mut self) -> Option<Result<Followed, ClientError>> {
        if self.over {
            return None;
        }
        let next = self.advance().await;
        self.over = match &next {
            Ok(Followed::Event(event)) => self.is_end(event),
            Ok(_) => false,
            Err(_) => true,
        };
        Some(next)
    }

    fn is_end(&self, event: &Event) -> bool {
        matches!(self.what, What::Deployment { .. })
            && matches!(event.what, Happening::Ended { .. })
    }

    async fn advance(&mut self) -> Result<Followed, ClientError> {
        loop {
            if self.open.is_none() {
                if let Some(told) = self.reopen().await? {
                    return Ok(told);
                }
                continue;
            }
            if let Some(event) = self.read().await {
                return Ok(Followed::Event(event?));
            }
            self.open = None;
            self.trouble = Some(Trouble::of_a_break());
            return Ok(Followed::Reconnecting);
        }
    }

    /// Open the stream; while there is trouble, attempts that fail are repeated for a while.
    async fn reopen(&mut self) -> Result<Option<Followed>, ClientError> {
        if let Some(trouble) = &self.trouble {
            tokio::time::sleep(trouble.pause).await;
        }
        match (self.connect().await, self.trouble.as_mut()) {
            (Ok(response), trouble) => {
                let told = trouble.is_some_and(|trouble| trouble.told);
                let told = told.then_some(Followed::Reconnected);
                self.open = Some(SseByteStream::new(awake(response)).boxed());
                self.trouble = None;
                Ok(told)
            }
            (Err(error), Some(trouble)) if error.is_passing() => {
                if trouble.since.elapsed() > RECONNECT_FOR {
                    return Err(ClientError::Lost {
                        address: self.client.address.clone(),
                        seconds: RECONNECT_FOR.as_secs(),
                        source: Box::new(error),
                    });
                }
                trouble.lasts();
                Ok(None)
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn connect(&self) -> Result<Response, ClientError> {
        let request = match &self.what {
            What::All => self.client.request(Method::GET, "/v1/events"),
            What::Deployment { id, hold } => {
                let path = format!("/v1/deployments/{id}/events");
                self.client.request(Method::GET, &path).query(&[("hold", hold)])
            }
        };
        let request = request.header(ACCEPT, "text/event-stream");
        let request = match self.last {
            Some(last) => request.header("last-event-id", last),
            None => request,
        };
        self.client.send(request).await
    }

    /// The next event of the open stream; none when it broke or ended.
    async fn read(&mut self) -> Option<Result<Event, ClientError>> {
        let open = self.open.as_mut()?;
        loop {
            let block = open.next().await?.ok()?;
            let Some(data) = block.data else { continue };
            let event: Event = match serde_json::from_str(&data) {
                Ok(event) => event,
                Err(error) => {
                    return Some(Err(ClientError::Unexpected {
                        address: self.client.address.clone(),
                        what: format!("an event not understood: {error}"),
                        between: false,
                    }));
                }
            };
            if block.id.is_some() {
                self.last = Some(event.seq);
            }
            return Some(Ok(event));
        }
    }
}

/// The body of `response`, which breaks when nothing comes for too long.
fn awake(response: Response) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let body = response.bytes_stream().boxed();
    stream::unfold(Some(body), |body| async {
        let mut body = body?;
        match tokio::time::timeout(SILENCE, body.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(body))),
            Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}
