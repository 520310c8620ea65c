use std::io::{self, Read as _};
use std::path::Path;

use super::{Place, Problems};

/// A text could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read at all.
    #[error("cannot read {what} `{name}`")]
    Read {
        /// What it should be: `stack file`, `configuration`.
        what: &'static str,
        /// Its path, or `-`.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It can be read but is wrong.
    #[error("{0}")]
    Invalid(Problems),
}

impl From<Problems> for LoadError {
    fn from(problems: Problems) -> Self {
        Self::Invalid(problems)
    }
}

/// Far above any file that a person writes, and little enough to hold.
const LARGEST: u64 = 1024 * 1024;

/// The text at `path`; `-` is the standard input.
pub(crate) fn read_text(what: &'static str, path: &Path) -> Result<String, LoadError> {
    let name = path.display().to_string();
    let read = if name == "-" {
        bytes(io::stdin().lock())
    } else {
        std::fs::File::open(path).and_then(bytes)
    };
    let bytes = read.map_err(|source| LoadError::Read { what, name: name.clone(), source })?;
    let mut problems = Problems::default();
    if bytes.len() as u64 > LARGEST {
        let too_large = format!("the {what} is larger than {} KiB", LARGEST / 1024);
        problems.report(&Place::start(&name), too_large, "is this the right file?");
        return Err(problems.into());
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = position_after(error.as_bytes(), error.utf8_error().valid_up_to());
        let place = Place { line: at.0, column: at.1, ..Place::start(&name) };
        problems.report(&place, "the text is not UTF-8 here", "save the file as UTF-8");
        problems
    })?;
    Ok(text)
}

fn bytes(source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(LARGEST + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Line and column of the place `offset` bytes into `bytes`, which are UTF-8 up to there.
fn position_after(bytes: &[u8], offset: usize) -> (u32, u32) {
    let before = String::from_utf8_lossy(&bytes[..offset]);
    position(&before, before.len())
}

/// Line and column, from 1, of the place `offset` bytes into `text`.
pub(super) fn position(text: &str, offset: usize) -> (u32, u32) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}
