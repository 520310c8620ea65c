//! Hints that something changed, by blocking queries.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde::de::IgnoredAny;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::client::Client;
use super::error::CallError;
use super::layout::Layout;

/// How long one query waits: a dead connection goes unnoticed for that long, and each renewal is a
/// spurious hint at worst.
const WAIT: Duration = Duration::from_secs(60);

/// Shortest time between two queries: bounds what a Consul that keeps changing, or answers at once
/// without reason, can cost.
const PACE: Duration = Duration::from_millis(10);

/// A query that is asked again and again; only its index matters.
struct Query {
    path: String,
    parameters: &'static [(&'static str, &'static str)],
}

/// The stream ends when Consul cannot be asked any more.
pub(super) async fn changes(
    client: &Client,
    layout: &Layout,
) -> Result<BoxStream<'static, ()>, CallError> {
    // Answers are kept short: the names of services, and no instance at all.
    let keys = Query {
        path: format!("kv/{}", layout.services()),
        parameters: &[("keys", ""), ("separator", "/")],
    };
    let instances = Query {
        path: format!("catalog/node/{}", layout.node()),
        parameters: &[("filter", "ID == \"\"")],
    };
    let (keys_at, instances_at) = tokio::try_join!(now(client, &keys), now(client, &instances))?;
    // One place: a hint that nobody has taken yet stands for all that follow.
    let (hints, stream) = mpsc::channel(1);
    let client = client.clone();
    tokio::spawn(async move {
        let error = tokio::select! {
            error = follow(&client, &keys, keys_at, &hints) => error,
            error = follow(&client, &instances, instances_at, &hints) => error,
            () = hints.closed() => return,
        };
        tracing::debug!(%error, "watching Consul ended");
    });
    Ok(ReceiverStream::new(stream).boxed())
}

async fn now(client: &Client, query: &Query) -> Result<u64, CallError> {
    let answer = client.get::<IgnoredAny>(&query.path, query.parameters).await?;
    Ok(answer.index)
}

/// Ask until it fails.
async fn follow(
    client: &Client,
    query: &Query,
    mut index: u64,
    hints: &mpsc::Sender<()>,
) -> CallError {
    loop {
        let pace = tokio::time::sleep(PACE);
        let answer = client.wait::<IgnoredAny>(&query.path, query.parameters, index, WAIT);
        let next = match answer.await {
            Ok(answer) => answer.index,
            Err(error) => return error,
        };
        if next != index {
            // Full: the hint that stands there will do.
            let _ = hints.try_send(());
        }
        index = from(index, next);
        pace.await;
    }
}

/// Where to go on from after an answer at `next`. An index that goes backwards tells of a restored or
/// replaced Consul: begin anew. One of 0 would not wait at all, and must never be asked for else.
fn from(index: u64, next: u64) -> u64 {
    if next < index { 0 } else { next.max(1) }
}

#[cfg(test)]
mod tests {
    use super::from;

    #[test]
    fn an_index_only_grows_or_begins_anew() {
        assert_eq!(from(5, 5), 5);
        assert_eq!(from(5, 9), 9);
        assert_eq!(from(5, 4), 0);
        assert_eq!(from(0, 4), 4);
        assert_eq!(from(0, 0), 1);
    }
}
