//! Answers that arrive line by line for a while: lost when they break off, stall or skip a line.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST};
use tokio_util::sync::CancellationToken;

use super::Client;
use crate::connection::Connection;
use crate::loss::{Loss, Reason};
use crate::recorder::Answered;

impl Client {
    /// One stream to its end. When stopped, it is left, which loses nothing.
    pub(super) async fn stream(&mut self, stop: &CancellationToken) {
        let begun = Instant::now();
        let limit = self.settings.config.timeout;
        let outcome = match tokio::time::timeout(limit, self.begin_stream()).await {
            Err(_) => Err(Loss::timeout("the stream did not begin in time")),
            Ok(Err(loss)) => Err(loss),
            Ok(Ok((mut connection, body, answer))) => {
                let read = self.read_stream(&mut connection, body, begun);
                let read = tokio::select! {
                    () = stop.cancelled() => Ok(()),
                    read = read => read,
                };
                read.map(|()| answer)
            }
        };
        match outcome {
            Ok(answer) => self.recorder.answered(self.settings.target, self.kind, begun, answer),
            Err(loss) => self.lost(begun, loss, false),
        }
    }

    async fn begin_stream(&self) -> Result<(Connection, Incoming, Answered), Loss> {
        let mut connection = self.open().await?;
        let target = self.settings.target();
        let seconds = self.settings.config.length.as_secs();
        let request = Request::get(format!("{}/stream?seconds={seconds}", target.path))
            .header(HOST, &target.host)
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Loss::new(Reason::Wrong, error.to_string()))?;
        let response = connection.send(request).await.map_err(|failure| failure.loss)?;
        if let Some(loss) = Loss::status(response.status()) {
            return Err(loss);
        }
        let identity = self.settings.identity(response.headers());
        let answer = Answered { identity, head: Instant::now(), retried: false };
        Ok((connection, response.into_body(), answer))
    }

    async fn read_stream(
        &self,
        connection: &mut Connection,
        mut body: Incoming,
        begun: Instant,
    ) -> Result<(), Loss> {
        let limit = self.settings.config.timeout;
        let mut lines = Lines::default();
        loop {
            match tokio::time::timeout(limit, connection.next_piece(&mut body)).await {
                Err(_) => return Err(Loss::timeout("the stream went silent")),
                Ok(piece) => match piece? {
                    Some(piece) => lines.read(&piece)?,
                    None => break,
                },
            }
        }
        // A stream that ends properly but too early was cut by somebody who was polite about it.
        // Counted from the request on: on a busy machine its head may have been long under way.
        let (wanted, lasted) = (self.settings.config.length, begun.elapsed());
        if lasted * 10 < wanted * 9 {
            let detail = format!("the stream ended after {lasted:.1?}, {wanted:?} were asked for");
            return Err(Loss::new(Reason::EofInAnswer, detail));
        }
        Ok(())
    }
}

/// Lines that begin with their number, which must count up from 0.
#[derive(Default)]
struct Lines {
    next: u64,
    partial: Vec<u8>,
}

impl Lines {
    fn read(&mut self, piece: &[u8]) -> Result<(), Loss> {
        for byte in piece {
            if *byte != b'\n' {
                self.partial.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&self.partial).into_owned();
            self.partial.clear();
            let number = line.split(' ').next().and_then(|number| number.parse::<u64>().ok());
            if number != Some(self.next) {
                let detail = format!("line `{line}` where line {} was due", self.next);
                return Err(Loss::new(Reason::Wrong, detail));
            }
            self.next += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_come_in_pieces_but_none_may_lack() {
        let mut lines = Lines::default();
        lines.read(b"0 blue\n1 bl").unwrap();
        lines.read(b"ue\n").unwrap();
        assert_eq!(lines.read(b"3 blue\n").unwrap_err().reason, Reason::Wrong);
    }
}
