//! Plain values for unit tests, to be changed where a test is about something.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::ports::Tenure;
use super::record::{Before, Prepared};
use super::runner::opening;
use super::saga::State;
use crate::model::{Colour, Draft, Kind, OnBusy, OnDisconnect, Request, ServiceRecord};

/// A deployment of `draft` that was just opened.
pub fn opened(draft: Draft) -> State {
    let request = Request {
        kind: Kind::Deploy { draft },
        sequence: None,
        on_busy: OnBusy::default(),
        on_disconnect: OnDisconnect::default(),
        deadline: None,
        force: false,
        by: "test".to_owned(),
    };
    State::open(&opening(request, Timestamp::UNIX_EPOCH)).expect("it is an opening")
}

/// What prepare decides for `draft`: green over blue, with nothing to be put back.
pub fn prepared(draft: Draft) -> Prepared {
    let image = draft.image.pin("sha256:1");
    Prepared {
        release: draft.pin(image),
        colour: Colour::Green,
        live: Some(Colour::Blue),
        running: false,
        instances: Vec::new(),
        in_place: false,
        before: Before {
            swarm: BTreeMap::new(),
            registry: ServiceRecord::default(),
            proxies: BTreeMap::new(),
        },
        tenure: Tenure::default(),
    }
}
