//! Ordinary requests, each with one answer: new, strict, standard and slow.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST};

use super::Client;
use crate::config::Kind;
use crate::connection::{Connection, Unanswered};
use crate::loss::{Loss, Reason};
use crate::recorder::Answered;

type Response = hyper::Response<Incoming>;

impl Client {
    /// One request, whatever becomes of it.
    pub(super) async fn request(&mut self) {
        let begun = Instant::now();
        let mut retried = false;
        self.line = None;
        let limit = match self.kind {
            Kind::Slow => self.settings.config.delay + self.settings.config.timeout,
            _ => self.settings.config.timeout,
        };
        let outcome = match tokio::time::timeout(limit, self.exchange(&mut retried)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Err(Loss::timeout(&format!("no whole answer in time{}", self.so_far().await)))
            }
        };
        self.line = None;
        match outcome {
            Ok(answer) => self.recorder.answered(self.settings.target, self.kind, begun, answer),
            Err(loss) => self.lost(begun, loss, retried),
        }
    }

    /// How far the request that is under way came, as the kernel tells it.
    async fn so_far(&mut self) -> String {
        match self.line.take() {
            None => ": not connected".to_owned(),
            Some(line) => format!(": {}", line.told().await),
        }
    }

    async fn exchange(&mut self, retried: &mut bool) -> Result<Answered, Loss> {
        let (mut connection, response) = self.ask(retried).await?;
        let head = Instant::now();
        let failure = Loss::status(response.status());
        let identity = self.settings.identity(response.headers());
        connection.finish(response.into_body()).await?;
        if self.keeps_alive() {
            self.kept = Some(connection);
        } else {
            // The answer is here; the farewell is not part of it.
            tokio::spawn(connection.part());
        }
        match failure {
            Some(loss) => Err(loss),
            None => Ok(Answered { identity, head, retried: *retried }),
        }
    }

    /// The head of an answer: over the kept connection if it can be reused, else over a new one.
    async fn ask(&mut self, retried: &mut bool) -> Result<(Connection, Response), Loss> {
        if let Some(mut connection) = self.kept.take()
            && connection.is_reusable().await
        {
            self.line = connection.line("kept");
            match connection.send(self.get()?).await {
                Ok(response) => return Ok((connection, response)),
                Err(failure) if failure.unsent => {}
                Err(failure) if self.sends_again(&failure) => *retried = true,
                Err(failure) => return Err(failure.loss),
            }
        }
        self.line = None;
        let mut connection = self.open().await?;
        self.line = connection.line("new");
        match connection.send(self.get()?).await {
            Ok(response) => Ok((connection, response)),
            Err(failure) => Err(failure.loss),
        }
    }

    fn sends_again(&self, failure: &Unanswered) -> bool {
        self.kind == Kind::Standard && failure.before_first_byte
    }

    fn keeps_alive(&self) -> bool {
        matches!(self.kind, Kind::Strict | Kind::Standard)
    }

    fn get(&self) -> Result<Request<Empty<Bytes>>, Loss> {
        let target = self.settings.target();
        let uri = match self.kind {
            Kind::Slow => {
                format!("{}?delay={}", target.path, self.settings.config.delay.as_millis())
            }
            _ => target.path.clone(),
        };
        let mut request = Request::get(uri).header(HOST, &target.host);
        if !self.keeps_alive() {
            request = request.header(CONNECTION, "close");
        }
        let request = request.body(Empty::new());
        request.map_err(|error| Loss::new(Reason::Wrong, error.to_string()))
    }
}
