//! Which authorities an HTTP gate trusts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsConnector;

use super::target::Target;
use crate::deploy::ports::{PortError, PortResult, Trouble};
use crate::tls;

/// TLS by authority: a file, or the system's.
pub struct Trusted(HashMap<Option<PathBuf>, TlsConnector>);

impl Trusted {
    /// For a proxy with the authority `ca`.
    pub fn by(&self, ca: Option<&Path>) -> Option<&TlsConnector> {
        self.0.get(&ca.map(Path::to_owned))
    }
}

/// Read what `targets` need; each file once.
pub async fn trust(targets: &[Target]) -> PortResult<Trusted> {
    let mut wanted: Vec<Option<PathBuf>> = targets
        .iter()
        .filter(|target| target.tls)
        .map(|target| target.through.as_ref().and_then(|through| through.ca.clone()))
        .collect();
    wanted.sort();
    wanted.dedup();
    let reading = tokio::task::spawn_blocking(move || {
        let read = wanted.into_iter().map(|ca| Ok((ca.clone(), connector(ca.as_deref())?)));
        read.collect::<PortResult<HashMap<_, _>>>()
    });
    match reading.await {
        Ok(read) => read.map(Trusted),
        Err(error) => Err(PortError::new(Trouble::Other, "read authorities").because(error)),
    }
}

fn connector(ca: Option<&Path>) -> PortResult<TlsConnector> {
    let configuration = tls::client(ca, None).map_err(|error| {
        let operation = "set up TLS";
        let error = PortError::new(Trouble::Invalid, operation).because(error);
        match ca {
            Some(_) => error.remedy("`ca` of the proxy must name a PEM file with certificates"),
            None => error.remedy("install `ca-certificates`, or set `ca` of the proxy"),
        }
    })?;
    Ok(TlsConnector::from(Arc::new(configuration)))
}
