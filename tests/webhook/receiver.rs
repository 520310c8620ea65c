//! An HTTP server that is posted to, and answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Only a post that never comes takes as long.
const LONG: Duration = Duration::from_secs(20);

/// The part of a hook's URL that nobody may learn.
pub const SECRET: &str = "T0PS3CR3T-a8f31c";

/// How a post is answered.
#[derive(Debug, Clone, Copy)]
pub enum Manner {
    Status(u16),
    /// Not at all.
    Hang,
    Redirect,
}

/// What was posted.
#[derive(Debug, Clone)]
pub struct Post {
    pub at: Instant,
    pub path: String,
    pub body: Value,
    pub manner: u16,
}

#[derive(Default)]
struct Script {
    first: VecDeque<Manner>,
    then: Option<Manner>,
}

#[derive(Clone)]
struct Shared {
    script: Arc<Mutex<Script>>,
    posts: watch::Sender<Vec<Post>>,
}

pub struct Receiver {
    address: std::net::SocketAddr,
    shared: Shared,
    server: JoinHandle<()>,
}

impl Receiver {
    /// One that takes everything.
    pub async fn start() -> Self {
        Self::that([], Manner::Status(200)).await
    }

    /// One that answers `first`, then `then` forever.
    pub async fn that(first: impl IntoIterator<Item = Manner>, then: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Script { first: first.into_iter().collect(), then: Some(then) };
        let shared =
            Shared { script: Arc::new(Mutex::new(script)), posts: watch::Sender::default() };
        let router = Router::new().fallback(take).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, shared, server }
    }

    pub fn url(&self) -> String {
        format!("http://{}/services/{SECRET}", self.address)
    }

    pub fn posts(&self) -> Vec<Post> {
        self.shared.posts.borrow().clone()
    }

    /// What was posted once there are `count` posts.
    pub async fn gets(&self, count: usize) -> Vec<Post> {
        let mut posts = self.shared.posts.subscribe();
        let there = posts.wait_for(|posts| posts.len() >= count);
        let there = tokio::time::timeout(LONG, there).await;
        there.unwrap_or_else(|_| panic!("{} of {count} posts", self.posts().len())).unwrap().clone()
    }

    /// The occasions that were posted once there are `count` posts.
    pub async fn occasions(&self, count: usize) -> Vec<String> {
        let posts = self.gets(count).await;
        posts.iter().map(|post| post.body["occasion"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shared): State<Shared>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    let manner = {
        let mut script = shared.script.lock().unwrap();
        script.first.pop_front().or(script.then).unwrap()
    };
    let (status, answer) = match manner {
        Manner::Status(status) => (status, StatusCode::from_u16(status).unwrap().into_response()),
        Manner::Hang => (0, ().into_response()),
        Manner::Redirect => (302, (StatusCode::FOUND, [(header::LOCATION, "/")]).into_response()),
    };
    let body = serde_json::from_slice(&body).unwrap();
    let post = Post { at: Instant::now(), path: uri.path().to_owned(), body, manner: status };
    shared.posts.send_modify(|posts| posts.push(post));
    if status == 0 {
        std::future::pending::<()>().await;
    }
    answer
}
