//! The difference between what Consul holds of a service and what it should hold.

use std::collections::BTreeMap;

use super::image::{Entry, Image};

/// What leads from one image to another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Diff {
    /// Entries that are new or different.
    pub(super) put: Vec<Entry>,
    /// Keys that are new or different.
    pub(super) set: BTreeMap<String, Vec<u8>>,
    /// Keys that should not be.
    pub(super) unset: Vec<String>,
    /// Entries that should not be.
    pub(super) remove: Vec<Entry>,
}

impl Diff {
    pub(super) fn between(from: &Image, to: &Image) -> Self {
        let put = missing(&to.entries, &from.entries, |a, b| a == b);
        let set = missing(&to.keys, &from.keys, |a, b| a == b);
        let unset = missing(&from.keys, &to.keys, |_, _| true);
        let remove = missing(&from.entries, &to.entries, |_, _| true);
        Self {
            put: put.map(|(_, entry)| entry.clone()).collect(),
            set: set.map(|(key, value)| (key.clone(), value.clone())).collect(),
            unset: unset.map(|(key, _)| key.clone()).collect(),
            remove: remove.map(|(_, entry)| entry.clone()).collect(),
        }
    }
}

/// What is in `here` and has no `same` one in `there`.
fn missing<'a, V>(
    here: &'a BTreeMap<String, V>,
    there: &'a BTreeMap<String, V>,
    same: impl Fn(&V, &V) -> bool,
) -> impl Iterator<Item = (&'a String, &'a V)> {
    here.iter().filter(move |(key, value)| {
        let other = there.get(*key);
        !other.is_some_and(|other| same(value, other))
    })
}
