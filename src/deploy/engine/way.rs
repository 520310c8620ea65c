//! Whether a request may go on beside the deployments of its service that are under way. Pure.

use super::Active;
use crate::deploy::control::{Refusal, RefusalKind};
use crate::deploy::standing::Standing;
use crate::model::{DeploymentId, OnBusy, Request};

/// A deployment under way, as a request for the same service meets it.
pub(super) struct Other {
    id: DeploymentId,
    sequence: Option<u64>,
    standing: Standing,
}

impl Other {
    pub(super) fn of(id: DeploymentId, active: &Active) -> Self {
        let standing = active.standing.borrow().clone();
        Self { id, sequence: active.request.sequence, standing }
    }

    /// One that is being reverted or commits is waited for: it can no longer be stopped.
    fn can_be_stopped(&self) -> bool {
        !self.standing.reverting && !self.standing.past_stopping
    }
}

/// The deployments that are to be stopped for `request`; all the others are waited for. `highest` is
/// the highest sequence that was accepted so far.
pub(super) fn way(
    request: &Request,
    highest: Option<u64>,
    others: &[Other],
) -> Result<Vec<DeploymentId>, Refusal> {
    let goes_first = |other: &&Other| {
        let newer = request.sequence > highest && other.sequence.is_some();
        newer || request.on_busy == OnBusy::Supersede
    };
    if request.on_busy == OnBusy::Refuse
        && let Some(other) = others.iter().find(|other| !goes_first(other))
    {
        return Err(busy(request, other));
    }
    let stopped = others.iter().filter(goes_first).filter(|other| other.can_be_stopped());
    Ok(stopped.map(|other| other.id).collect())
}

fn busy(request: &Request, other: &Other) -> Refusal {
    let (id, service) = (other.id, request.service());
    let what = match (other.standing.stuck, other.standing.reverting) {
        (true, _) => "is stuck",
        (false, true) => "is being reverted",
        (false, false) => "is under way",
    };
    let remedy = if other.standing.stuck {
        format!("`verdigris show {id}` says what is in its way; then `verdigris retry {id}`")
    } else {
        format!("wait for it (`verdigris logs {id} --follow`), or use --on-busy wait or supersede")
    };
    let message = format!("deployment {id} of `{service}` {what}");
    let refusal = Refusal::new(RefusalKind::Busy, message).remedy(remedy);
    Refusal { deployment: Some(id), ..refusal }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, OnDisconnect};

    fn request(sequence: Option<u64>, on_busy: OnBusy) -> Request {
        Request {
            kind: Kind::Rollback { service: "books-ms".parse().unwrap(), release: None },
            sequence,
            on_busy,
            on_disconnect: OnDisconnect::Continue,
            deadline: None,
            force: false,
            by: "jane".to_owned(),
        }
    }

    fn other(sequence: Option<u64>) -> Other {
        Other { id: DeploymentId::new(), sequence, standing: Standing::default() }
    }

    #[test]
    fn a_request_that_is_refused_stops_nobody() {
        let others = [other(Some(5)), other(None)];
        let refusal = way(&request(Some(6), OnBusy::Refuse), Some(5), &others).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Busy);
        assert_eq!(refusal.deployment, Some(others[1].id));
    }

    #[test]
    fn a_newer_sequence_stops_what_is_older_and_waits_for_the_rest() {
        let others = [other(Some(5)), other(None)];
        let stopped = way(&request(Some(6), OnBusy::Wait), Some(5), &others).unwrap();
        assert_eq!(stopped, [others[0].id]);
        // Attaching raised the highest: that very sequence is not newer than itself.
        assert_eq!(way(&request(Some(7), OnBusy::Wait), Some(7), &others).unwrap(), []);
    }

    #[test]
    fn what_can_no_longer_be_stopped_is_not_told_to() {
        let mut others = [other(None), other(None), other(None)];
        others[0].standing.reverting = true;
        others[1].standing.past_stopping = true;
        let stopped = way(&request(None, OnBusy::Supersede), None, &others).unwrap();
        assert_eq!(stopped, [others[2].id]);
    }
}
