//! The reading of what is stored, for the fuzz targets.

use super::records::{self, VERSION};
use crate::deploy::record::Record;

/// The body of a record, in the form that is written now.
pub fn record(body: &str) -> Result<Record, String> {
    records::body(VERSION, || Ok(body.to_owned()))
}
