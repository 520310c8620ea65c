//! Tells webhooks what happens: each gets a JSON document with the deployment as the API shows it, and
//! a `text` that chat tools show as it is.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures_util::stream::{self, StreamExt};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::{Notify, Occasion};
use crate::deploy::engine::Engine;
use crate::model::{DeploymentView, Event, Happening, Outcome, Step};

/// A webhook that has not answered by then is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// Tries after the first; with the delays between them about half a minute in all.
const RETRIES: usize = 4;

/// Posts under way at a time: a webhook that hangs must not hold up the others.
const ABREAST: usize = 8;

/// What a webhook gets.
#[derive(Serialize)]
struct Message<'a> {
    occasion: &'static str,
    text: String,
    deployment: &'a DeploymentView,
}

/// Tell `hooks` what happens in `engine` until `shutdown`.
pub async fn tell(hooks: Vec<Notify>, engine: Engine, shutdown: CancellationToken) {
    if hooks.is_empty() {
        return;
    }
    // Somebody else may have chosen already; both choices work.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let occasions = engine.watch().filter_map(|event| {
        std::future::ready(occasion(&event).map(|occasion| (occasion, event.deployment)))
    });
    let posts = occasions.flat_map(|(occasion, id)| {
        let wanted = hooks.iter().filter(move |hook| hook.events.contains(&occasion));
        stream::iter(wanted.map(move |hook| (occasion, id, &hook.url)))
    });
    posts
        .take_until(shutdown.cancelled())
        .for_each_concurrent(ABREAST, |(occasion, id, url)| {
            let (engine, client) = (&engine, &client);
            async move {
                if let Ok(deployment) = engine.deployment(id).await {
                    post(client, url, occasion, &deployment).await;
                }
            }
        })
        .await;
}

/// What `event` is to people, if anything.
fn occasion(event: &Event) -> Option<Occasion> {
    match &event.what {
        Happening::Opened => Some(Occasion::Opened),
        Happening::Began if event.step == Some(Step::Approve) => Some(Occasion::Waiting),
        Happening::Stuck { .. } => Some(Occasion::Stuck),
        Happening::Ended { outcome: Outcome::Committed } => Some(Occasion::Committed),
        Happening::Ended { outcome: Outcome::Reverted { .. } } => Some(Occasion::Reverted),
        _ => None,
    }
}

async fn post(
    client: &reqwest::Client,
    url: &SecretString,
    occasion: Occasion,
    deployment: &DeploymentView,
) {
    let occasion = occasion.as_str();
    let message = Message { occasion, text: words(occasion, deployment), deployment };
    let send = || async {
        let request = client.post(url.expose_secret()).json(&message).timeout(PATIENCE);
        request.send().await?.error_for_status()
    };
    let backoff = ExponentialBuilder::default().with_max_times(RETRIES);
    if let Err(error) = send.retry(backoff).await {
        // The URL is a secret, and reqwest's errors name it.
        let error = error.without_url();
        tracing::warn!(deployment = %deployment.id, occasion, %error, "a webhook was not told");
    }
}

fn words(occasion: &str, deployment: &DeploymentView) -> String {
    let service = &deployment.service;
    let what = match &deployment.outcome {
        Some(Outcome::Stuck { problem, .. }) => {
            format!("stuck in {}: {}", problem.step, problem.message)
        }
        _ => match (&deployment.failure, &deployment.release) {
            (Some(failure), _) => format!("{occasion}: {}", failure.message),
            (None, Some(release)) => format!("{occasion}: release {release}"),
            (None, None) => occasion.to_owned(),
        },
    };
    format!("{service} {what} (deployment {}, by {})", deployment.id, deployment.by)
}
