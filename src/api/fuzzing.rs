//! The reading of bodies, for the fuzz targets.

use super::body::{Shape, parse};
use super::deployments::Because;
use crate::deploy::control::Refusal;
use crate::model::Request;

/// As the body of a submission.
pub fn request(body: &[u8]) -> Result<Request, Refusal> {
    read(body)
}

/// As the body of an abort, approval, rejection or retry.
pub fn because(body: &[u8]) -> Result<Because, Refusal> {
    read(body)
}

fn read<T: Shape>(body: &[u8]) -> Result<T, Refusal> {
    parse(body).map_err(|problem| problem.refusal().clone())
}
