//! The reading of what a test container left, for the fuzz targets.

use std::io;

use super::junit;
use crate::deploy::ports::JunitFile;

/// The JUnit files in a tar archive, as an engine makes it.
pub fn reports(archive: &[u8]) -> io::Result<Vec<JunitFile>> {
    junit::from_archive(archive)
}
