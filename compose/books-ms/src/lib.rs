//! What the sample service and its tests share: the catalogue, and how to speak.

pub mod catalogue;

use std::fmt::Display;
use std::io::Write;

/// Prints one line. Nobody listening is no reason to stop, which `println!` would.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
