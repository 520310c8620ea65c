//! Which authorities an HTTP gate trusts.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::target::Target;
use crate::deploy::ports::{PortError, PortResult, Trouble};

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
    let roots = match ca {
        Some(file) => from_file(file)?,
        None => from_system()?,
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let configuration = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| PortError::new(Trouble::Other, "prepare TLS").because(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(configuration)))
}

fn from_file(file: &Path) -> PortResult<RootCertStore> {
    let unusable = |why: Box<dyn std::error::Error + Send + Sync>| {
        let operation = format!("use the authority's file `{}`", file.display());
        PortError::new(Trouble::Invalid, operation)
            .because(why)
            .remedy("`ca` of the proxy must name a PEM file with certificates")
    };
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|why| unusable(why.into()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|why| unusable(why.into()))?;
        roots.add(certificate).map_err(|why| unusable(why.into()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it holds no certificate".into()));
    }
    Ok(roots)
}

fn from_system() -> PortResult<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(PortError::new(Trouble::Invalid, "find the system's certificate authorities")
            .remedy("install `ca-certificates`, or set `ca` of the proxy"));
    }
    Ok(roots)
}
