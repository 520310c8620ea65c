//! Who serves a service, as one configuration of nginx has it.
//!
//! After a reload the workers of before still answer connections that they had accepted and that had
//! not spoken yet. They test for flags like the new ones do, but know the colours by the addresses of
//! before. So a flag says by its name for which addresses it stands: workers that know others do not
//! see it, and go on with the colour that was live.

use std::fmt;

use sha2::{Digest, Sha256};

use super::routing::Entry;
use crate::model::Colour;

/// Bytes of a hash that a name carries: two rosters of one service are alike by chance once in 2⁴⁸.
const LENGTH: usize = 6;

/// A short hash of the addresses of each colour, blue first; zeros where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Roster([[u8; LENGTH]; 2]);

impl Roster {
    /// The roster of a service as `entry` has it.
    pub fn of(entry: &Entry) -> Self {
        Self(Colour::BOTH.map(|colour| digest(entry, colour)))
    }

    /// Whether `colour` has the same instances here and there.
    pub fn agrees(self, other: Self, colour: Colour) -> bool {
        self.part(colour) == other.part(colour)
    }

    /// What its text says; none where it is no roster's.
    pub fn parse(text: &str) -> Option<Self> {
        let (blue, green) = text.split_once('-')?;
        let part = |text: &str| hex::decode(text).ok()?.try_into().ok();
        Some(Self([part(blue)?, part(green)?]))
    }

    fn part(self, colour: Colour) -> [u8; LENGTH] {
        let [blue, green] = self.0;
        match colour {
            Colour::Blue => blue,
            Colour::Green => green,
        }
    }
}

impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [blue, green] = self.0;
        write!(f, "{}-{}", hex::encode(blue), hex::encode(green))
    }
}

fn digest(entry: &Entry, colour: Colour) -> [u8; LENGTH] {
    let mut part = [0; LENGTH];
    let addresses = entry.addresses(colour);
    if addresses.is_empty() {
        return part;
    }
    let mut hash = Sha256::new();
    for address in addresses {
        hash.update(address.to_string());
        hash.update(b"\n");
    }
    part.copy_from_slice(&hash.finalize()[..LENGTH]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Backend;
    use crate::proxy::routing::tests::entries;

    fn entry(blue: &[&str], green: &[&str]) -> Entry {
        let entries = entries(&[("books", "/", None)]);
        let mut entry = Entry::clone(entries.values().next().unwrap());
        for (colour, addresses) in [(Colour::Blue, blue), (Colour::Green, green)] {
            let backend = |a: &&str| Backend { task: (*a).to_owned(), address: a.parse().unwrap() };
            entry.view.backends.insert(colour, addresses.iter().map(backend).collect());
        }
        entry
    }

    #[test]
    fn each_colour_is_told_apart_by_its_addresses() {
        let was = Roster::of(&entry(&["10.0.0.1:80"], &["10.0.0.2:80"]));
        let is = Roster::of(&entry(&["10.0.0.1:80"], &["10.0.0.2:80", "10.0.0.3:80"]));
        assert!(was.agrees(is, Colour::Blue));
        assert!(!was.agrees(is, Colour::Green));
        let none = Roster::of(&entry(&[], &["10.0.0.2:80"]));
        assert!(none.agrees(was, Colour::Green) && !none.agrees(was, Colour::Blue));
    }

    #[test]
    fn it_is_read_as_it_is_written() {
        let roster = Roster::of(&entry(&["10.0.0.1:80"], &[]));
        assert_eq!(Roster::parse(&roster.to_string()), Some(roster));
        assert!(roster.to_string().ends_with("-000000000000"));
        assert_eq!(Roster::parse("00-00"), None);
    }
}
