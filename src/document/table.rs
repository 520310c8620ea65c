use std::collections::BTreeSet;

use super::read::mismatch;
use super::{Node, Place, Problems, Read, Value, nearest};

/// Why a key that others know is refused here, and what to do instead.
pub(crate) struct Refusal {
    pub why: &'static str,
    pub remedy: &'static str,
}

impl Refusal {
    /// No key is refused.
    pub fn none(_: &str) -> Option<Self> {
        None
    }
}

/// A table that is being read key by key, so that what nobody asked for can be reported.
pub(crate) struct Table<'a> {
    node: &'a Node,
    known: BTreeSet<&'static str>,
}

impl<'a> Table<'a> {
    /// `node` as a table; none, and a report, when it is none.
    pub fn open(node: &'a Node, problems: &mut Problems) -> Option<Self> {
        if let Value::Table(_) = node.value {
            return Some(Self { node, known: BTreeSet::new() });
        }
        mismatch(node, "a table of keys", problems);
        None
    }

    /// The value of `key`.
    pub fn take<T: Read>(&mut self, key: &'static str, problems: &mut Problems) -> Option<T> {
        self.known.insert(key);
        if let Some(value) = self.node.get(key) {
            return T::read(value, problems);
        }
        let absent = T::absent();
        if absent.is_none() {
            let place = self.place();
            problems.report(place, format!("`{key}` is missing"), format!("add `{key}`"));
        }
        absent
    }

    /// Where the table begins.
    pub fn place(&self) -> &Place {
        &self.node.place
    }

    /// Reports every key that was not taken. `extensible` lets `x-` keys pass; `refuse` knows keys
    /// that exist elsewhere.
    pub fn close(
        self,
        extensible: bool,
        refuse: fn(&str) -> Option<Refusal>,
        problems: &mut Problems,
    ) {
        for entry in self.node.entries() {
            let key = entry.key.as_str();
            if self.known.contains(key) || extensible && is_extension(key) {
                continue;
            }
            if let Some(Refusal { why, remedy }) = refuse(key) {
                problems.report(&entry.place, format!("`{key}` is not supported: {why}"), remedy);
                continue;
            }
            problems.report(&entry.place, format!("unknown key `{key}`"), self.advice(key));
        }
    }

    fn advice(&self, key: &str) -> String {
        if key == OURS {
            return "move it directly below the service, beside `image`".to_owned();
        }
        if let Some(meant) = nearest(key, self.known.iter().copied()) {
            return format!("did you mean `{meant}`?");
        }
        let known: Vec<_> = self.known.iter().map(|key| format!("`{key}`")).collect();
        format!("known here: {}", known.join(", "))
    }
}

/// Our own extension key of compose files.
const OURS: &str = "x-verdigris";

/// A key that somebody else reads. One that looks like ours is none: misspelt, or in the wrong
/// place, it must not pass in silence.
pub(crate) fn is_extension(key: &str) -> bool {
    key.starts_with("x-") && strsim::damerau_levenshtein(key, OURS) > 3
}
