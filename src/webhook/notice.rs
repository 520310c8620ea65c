use bytes::Bytes;
use serde::Serialize;

use crate::config::Occasion;
use crate::model::{DeploymentId, DeploymentView, Failure};

/// What a webhook is told once, ready to be sent.
pub(super) struct Notice {
    pub(super) occasion: Occasion,
    pub(super) deployment: DeploymentId,
    pub(super) body: Bytes,
}

/// As it is sent.
#[derive(Serialize)]
struct Body<'a> {
    occasion: &'static str,
    text: String,
    deployment: &'a DeploymentView,
}

impl Notice {
    /// Of `deployment`, with what made it fail or be stuck.
    pub(super) fn new(
        occasion: Occasion,
        why: Option<&Failure>,
        deployment: &DeploymentView,
    ) -> Self {
        let text = words(occasion, why, deployment);
        let body = Body { occasion: occasion.as_str(), text, deployment };
        // A view is made of texts, numbers and times, all of which JSON has.
        let body = serde_json::to_vec(&body).unwrap_or_default().into();
        Self { occasion, deployment: deployment.id, body }
    }
}

/// One sentence for people: which, what, who, and what to do where something is to be done.
fn words(occasion: Occasion, why: Option<&Failure>, deployment: &DeploymentView) -> String {
    let DeploymentView { id, service, by, release, image, .. } = deployment;
    let named = release.as_ref().map(|release| format!(": release {release}"));
    let named = named.or_else(|| image.as_ref().map(|image| format!(": {image}")));
    let named = named.unwrap_or_default();
    let why = why.map(reason).unwrap_or_default();
    let rest = match occasion {
        Occasion::Opened | Occasion::Committed => named,
        Occasion::Waiting => {
            format!("{named}: `verdigris approve {id}`, or `verdigris reject {id}`")
        }
        Occasion::Reverted => why,
        Occasion::Stuck => format!("{why}; then `verdigris retry {id}`"),
    };
    format!("{service} {}{rest} (deployment {id}, by {by})", occasion.as_str())
}

fn reason(failure: &Failure) -> String {
    let remedy = failure.remedy.as_ref().map(|remedy| format!("; {remedy}"));
    format!(" in {}: {}{}", failure.step, failure.message, remedy.unwrap_or_default())
}
