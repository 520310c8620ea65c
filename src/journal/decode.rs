//! Records as they are stored, and what is made of those that cannot be read.

use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use crate::deploy::record::{Journalled, Record};

/// The form of the bodies that are written: which reader a body needs, told by the body itself.
///
/// - A change that *older bodies* do not fit (a field without a default, another meaning) needs a new
///   version, and [`body`] keeps reading the old ones.
/// - So does a change that an *older reader* would take in and misunderstand: a field that it may not
///   pass over. One that it may, since it only spares work (`in_place`, `moved`), needs none.
/// - A new kind of record, or of result, needs none (`taken-over` came so): an older reader does not
///   know it, whatever its number, and does with it what it does with an unknown version. The record
///   stays where it is, the deployment is left alone and named, and the newer reader, once it is back,
///   goes on.
pub(super) const VERSION: u32 = 1;

/// Position, and the record or why it cannot be read.
pub(super) type Stored = (u64, Result<Journalled, String>);

/// The records that `rows` hold, oldest first, of which there should be `next`. Each hole is told in its
/// place.
pub(super) fn without_holes(next: u64, rows: Vec<Stored>) -> Vec<Journalled> {
    let mut records: Vec<Journalled> = Vec::with_capacity(rows.len());
    for (seq, decoded) in rows {
        fill(&mut records, seq);
        let unreadable = |problem| hole(&records, seq, problem);
        let record = decoded.unwrap_or_else(unreadable);
        records.push(record);
    }
    fill(&mut records, next);
    records
}

/// Tell it when something is missing before `seq`.
fn fill(records: &mut Vec<Journalled>, seq: u64) {
    let expected = records.last().map_or(0, |last| last.seq.saturating_add(1));
    if expected < seq {
        records.push(hole(records, expected, "it is missing".to_owned()));
    }
}

fn hole(before: &[Journalled], seq: u64, problem: String) -> Journalled {
    let at = before.last().map_or(Timestamp::UNIX_EPOCH, |last| last.at);
    Journalled { seq, at, record: Record::Unreadable { problem } }
}

/// A row of the table: position, time, version and body.
pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let seq = row.get(0).map(i64::cast_unsigned)?;
    Ok((seq, decode(seq, row)))
}

fn decode(seq: u64, row: &Row<'_>) -> Result<Journalled, String> {
    let at = text(row, 1)?;
    let at = at.parse().map_err(|error| format!("its time: {error}"))?;
    let version: u32 = row.get(2).map_err(|error| error.to_string())?;
    Ok(Journalled { seq, at, record: body(version, || text(row, 3))? })
}

/// The record in a body of this version.
pub(super) fn body(
    version: u32,
    text: impl FnOnce() -> Result<String, String>,
) -> Result<Record, String> {
    if version != VERSION {
        return Err(format!(
            "its form is version {version}, which is unknown: a newer Verdigris wrote it"
        ));
    }
    serde_json::from_str(&text()?).map_err(|error| error.to_string())
}

/// The text in a column that may hold anything.
fn text(row: &Row<'_>, column: usize) -> Result<String, String> {
    let value = row.get_ref(column).map_err(|error| error.to_string())?;
    match value {
        ValueRef::Text(bytes) => {
            String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
        }
        other => Err(format!("{} instead of text", other.data_type())),
    }
}
