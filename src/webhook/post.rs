use std::error::Error;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use super::notice::Notice;

/// How long, and how often, a webhook is tried.
#[derive(Debug, Clone, Copy)]
pub struct Persistence {
    /// One that has not answered by then is tried again.
    pub patience: Duration,
    /// Tries after the first.
    pub retries: usize,
    /// Before the first of them; each further pause is twice as long.
    pub pause: Duration,
}

impl Default for Persistence {
    /// A hook that is restarted is told; one that is gone is given up after half a minute, or a
    /// minute when it hangs.
    fn default() -> Self {
        Self { patience: Duration::from_secs(10), retries: 4, pause: Duration::from_secs(1) }
    }
}

/// Posts to one hook.
pub(super) struct Poster {
    number: usize,
    url: SecretString,
    client: Client,
    persistence: Persistence,
}

/// A post was not taken. Never names the URL, which is a secret.
#[derive(Debug, thiserror::Error)]
enum PostError {
    #[error("it cannot be reached")]
    Reach(#[source] reqwest::Error),
    #[error("it did not answer within {}", humantime::format_duration(*.0))]
    Silent(Duration),
    #[error("it answers {0}")]
    Refused(StatusCode),
    /// Followed, a POST would become a GET that says nothing.
    #[error("it answers {0}, a redirection: `url` must name where it leads to")]
    Moved(StatusCode),
}

impl PostError {
    /// The same may be taken later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Reach(_) | Self::Silent(_) => true,
            Self::Refused(StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS) => true,
            Self::Refused(status) => status.is_server_error(),
            Self::Moved(_) => false,
        }
    }
}

impl Poster {
    /// For the hook `number` of the configuration.
    pub(super) fn new(
        number: usize,
        url: &SecretString,
        persistence: Persistence,
    ) -> Result<Self, reqwest::Error> {
        // Somebody else may have chosen already; both choices work.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder()
            .redirect(Policy::none())
            .user_agent(concat!("verdigris/", env!("CARGO_PKG_VERSION")));
        if !url.expose_secret().starts_with("https:") {
            // The system's authorities need not be there.
            client = client.tls_certs_only([]);
        }
        Ok(Self { number, url: url.clone(), client: client.build()?, persistence })
    }

    /// Tell the hook, and log it when that is given up.
    pub(super) async fn post(&self, notice: &Notice) {
        let Persistence { retries, pause, .. } = self.persistence;
        let pauses = ExponentialBuilder::default().with_max_times(retries).with_min_delay(pause);
        let posted = (|| self.once(notice)).retry(pauses).when(PostError::may_pass).await;
        if let Err(error) = posted {
            tracing::warn!(
                webhook = self.number,
                deployment = %notice.deployment,
                occasion = notice.occasion.as_str(),
                error = &error as &dyn Error,
                "a webhook was not told"
            );
        }
    }

    async fn once(&self, notice: &Notice) -> Result<(), PostError> {
        let request = self
            .client
            .post(self.url.expose_secret())
            .header(CONTENT_TYPE, "application/json")
            .body(notice.body.clone())
            .timeout(self.persistence.patience);
        let response = request.send().await.map_err(|error| self.lost(error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(PostError::Moved(status)),
            status => Err(PostError::Refused(status)),
        }
    }

    fn lost(&self, error: reqwest::Error) -> PostError {
        if error.is_timeout() {
            return PostError::Silent(self.persistence.patience);
        }
        PostError::Reach(error.without_url())
    }
}
