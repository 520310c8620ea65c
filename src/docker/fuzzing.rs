//! The reading of an engine's answers, for the fuzz targets.

use bollard::container::LogOutput;
use bollard::models::{
    ContainerCreateResponse, ContainerWaitResponse, CreateImageInfo, DistributionInspect,
    ImageInspect, SystemVersion,
};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::client::{Version, message_of};
use super::container::{Change, Listed, exit_of};
use super::{Error, Lines};

/// Read `body` as everything that an engine answers, and go on with what it gives.
pub fn answer(body: &[u8]) {
    for status in [400, 404, 500, 503] {
        let error = Error::Refused { status, message: message_of(body) };
        drop(error.during("ask").chain());
    }
    drop((
        read::<ContainerCreateResponse>(body),
        read::<Vec<Change>>(body),
        read::<Vec<Listed>>(body),
    ));
    drop((read::<DistributionInspect>(body), read::<ImageInspect>(body)));
    drop(read::<CreateImageInfo>(body));
    drop(read::<ContainerWaitResponse>(body).map(|ended| exit_of(Ok(ended))));
    let version = read::<SystemVersion>(body).and_then(|version| version.api_version);
    let _ = version.and_then(|version| Version::parse(&version));
    lines(body);
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    serde_json::from_slice(body).ok()
}

/// The output of a container, in pieces that the byte 255 ends.
fn lines(body: &[u8]) {
    let mut lines = Lines::default();
    for (index, piece) in body.split(|byte| *byte == 0xff).enumerate() {
        let message = Bytes::copy_from_slice(piece);
        lines.push(&match index % 3 {
            0 => LogOutput::StdOut { message },
            1 => LogOutput::StdErr { message },
            _ => LogOutput::Console { message },
        });
    }
    let _ = lines.finish();
}
