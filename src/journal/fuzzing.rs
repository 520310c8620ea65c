//! The reading of what is stored, for the fuzz targets.

use super::decode::{self, VERSION};
use crate::deploy::record::Record;

/// The body of a record, in the form that is written now.
pub fn record(body: &str) -> Result<Record, String> {
    decode::body(VERSION, || Ok(body.to_owned()))
}
