//! Web sockets: each message must come back, and the connection must last.

use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use tokio::time::Interval;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;

use super::Client;
use crate::connection::{self, Io};
use crate::loss::{Loss, Reason};
use crate::recorder::{Answered, Identity};

type Socket = WebSocketStream<Box<dyn Io>>;

impl Client {
    /// One WebSocket to its end.
    pub(super) async fn websocket(&mut self, ticks: &mut Interval, stop: &CancellationToken) {
        let begun = Instant::now();
        let limit = self.settings.config.timeout;
        let opened = tokio::time::timeout(limit, self.upgrade()).await;
        match opened.unwrap_or_else(|_| Err(Loss::timeout("no WebSocket in time"))) {
            Ok((socket, identity)) => self.talk(socket, &identity, ticks, stop).await,
            Err(loss) => self.lost(begun, loss, false),
        }
    }

    async fn upgrade(&self) -> Result<(Socket, Identity), Loss> {
        self.recorder.connected(self.kind);
        let target = self.settings.target();
        let tls = self.settings.tls.as_ref();
        let (stream, _) = connection::open(target.address, tls).await?;
        let scheme = if tls.is_some() { "wss" } else { "ws" };
        let request = format!("{scheme}://{}{}/ws", target.host, target.path)
            .into_client_request()
            .map_err(|error| loss_of(&error))?;
        let upgraded = client_async(request, stream).await;
        let (socket, response) = upgraded.map_err(|error| loss_of(&error))?;
        Ok((socket, self.settings.identity(response.headers())))
    }

    /// Messages at the pace of the ticks until the time is over or somebody stops it.
    async fn talk(
        &mut self,
        mut socket: Socket,
        identity: &Identity,
        ticks: &mut Interval,
        stop: &CancellationToken,
    ) {
        let opened = Instant::now();
        let mut number: u64 = 0;
        while opened.elapsed() < self.settings.config.length {
            let begun = Instant::now();
            match self.echo(&mut socket, number).await {
                Ok(()) => {
                    let (identity, head) = (identity.clone(), Instant::now());
                    let answer = Answered { identity, head, retried: false };
                    self.recorder.answered(self.settings.target, self.kind, begun, answer);
                }
                Err(loss) => return self.lost(begun, loss, false),
            }
            number += 1;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = ticks.tick() => {}
            }
        }
        // Whether the farewell arrives is of no consequence.
        let _ = tokio::time::timeout(self.settings.config.timeout, socket.close(None)).await;
    }

    async fn echo(&self, socket: &mut Socket, number: u64) -> Result<(), Loss> {
        let sent = Message::text(format!("message {number}"));
        let exchange = async {
            socket.send(sent.clone()).await.map_err(|error| loss_of(&error))?;
            loop {
                match socket.next().await {
                    None => return Err(Loss::new(Reason::EofBeforeAnswer, "the WebSocket ended")),
                    Some(Err(error)) => return Err(loss_of(&error)),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Ok(message)) if message == sent => return Ok(()),
                    Some(Ok(Message::Close(_))) => {
                        return Err(Loss::new(Reason::EofBeforeAnswer, "the WebSocket was closed"));
                    }
                    Some(Ok(_)) => return Err(Loss::new(Reason::Wrong, "not what was sent")),
                }
            }
        };
        let limited = tokio::time::timeout(self.settings.config.timeout, exchange).await;
        limited.unwrap_or_else(|_| Err(Loss::timeout("no echo in time")))
    }
}

fn loss_of(error: &Error) -> Loss {
    match error {
        Error::Http(response) => Loss::status(response.status())
            .unwrap_or_else(|| Loss::new(Reason::Wrong, response.status().to_string())),
        _ => Loss::broken(error, false),
    }
}
