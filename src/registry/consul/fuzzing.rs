//! The reading of Consul's answers, for the fuzz targets.

use reqwest::StatusCode;

use super::client::read;
use super::diff::Diff;
use super::doctor::Agent;
use super::error::CallError;
use super::image::{self, Held, Image, Listed, Member, Pair};
use super::layout::Layout;
use super::lease::{Created, Note};
use super::txn::{self, Done};
use crate::model::ServiceName;

/// What Consul answers with.
const STATUSES: [StatusCode; 4] = [
    StatusCode::OK,
    StatusCode::NOT_FOUND,
    StatusCode::CONFLICT,
    StatusCode::INTERNAL_SERVER_ERROR,
];

/// Read `body` as the answer to everything that Consul is asked, and go on with what it gives.
///
/// # Panics
/// When a record does not survive being written and read again.
pub fn answer(body: &[u8]) {
    let layout = Layout::new("verdigris").expect("it is the usual prefix");
    let service: ServiceName = "books-ms".parse().expect("it is a name");
    for status in STATUSES {
        if let Err(error) = read::<Vec<String>>(status, body) {
            judged(&error);
        }
    }
    let ok = StatusCode::OK;
    let members = read::<Vec<Member>>(ok, body).unwrap_or_default();
    let pairs = || read::<Vec<Pair>>(ok, body).unwrap_or_default();
    let listed = read::<Option<Listed>>(ok, body).ok().flatten();
    let held = Held::new(members.into_iter().map(|member| member.service), pairs());
    rewritten(&layout, &service, &held);
    let entries = listed.into_iter().flat_map(|listed| listed.services.into_values());
    for (service, image) in image::by_service(&layout, entries, pairs()) {
        let held = Held { image, indices: held.indices.clone() };
        rewritten(&layout, &service, &held);
    }
    drop((read::<Done>(ok, body), read::<Created>(ok, body), read::<Agent>(ok, body)));
    drop((read::<String>(ok, body), serde_json::from_slice::<Note>(body)));
}

fn judged(error: &CallError) {
    let _ = (error.trouble(), error.is_stale(), error.is_fenced(), error.to_string());
}

/// What was read can be written, and is the same when it is read again.
fn rewritten(layout: &Layout, service: &ServiceName, held: &Held) {
    let Ok(record) = held.image.decode(layout, service) else { return };
    let Ok(wanted) = Image::encode(layout, service, &record) else { return };
    let again = wanted.decode(layout, service).expect("what was written is understood");
    assert_eq!(again, record, "a record comes back changed");
    let diff = Diff::between(&held.image, &wanted);
    let none = Diff::between(&wanted, &wanted);
    assert_eq!(none, Diff::default(), "a difference from itself");
    let fence = txn::Operation::check_lock(&layout.lock(service), "session");
    txn::transactions(layout, &diff, &held.indices, &[fence]);
}
