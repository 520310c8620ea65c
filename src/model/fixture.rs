//! Plain values for unit tests, to be changed where a test is about something.

use std::time::Duration;

use super::{Draft, Gates, Policy, Publish, Retain, Workload};

/// No route, no gates, nothing waited for, nothing kept.
pub fn policy() -> Policy {
    Policy {
        port: 8080,
        publish: Publish::Host,
        route: None,
        gates: Gates::default(),
        stable_for: Duration::ZERO,
        approve: None,
        bake: None,
        drain: Duration::ZERO,
        retain: Retain { releases: 0, scale: None, duration: None },
        deadline: Duration::from_secs(60),
    }
}

/// `books-ms` with [`policy`].
pub fn draft() -> Draft {
    Draft {
        service: "books-ms".parse().expect("it is a name"),
        image: "books-ms:1".parse().expect("it is an image"),
        workload: Workload::default(),
        policy: policy(),
    }
}
