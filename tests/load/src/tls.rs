//! TLS towards a target.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use crate::config::{ConfigError, Target};

/// How to do TLS with one target.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

impl Tls {
    /// `None` for a target without TLS.
    pub(crate) fn of(target: &Target) -> Result<Option<Self>, ConfigError> {
        let Some(pem) = &target.ca else {
            return Ok(None);
        };
        let host = target.host.split(':').next().unwrap_or_default().to_owned();
        let name = ServerName::try_from(host).map_err(|_| ConfigError::ServerName {
            target: target.name.clone(),
            host: target.host.clone(),
        })?;
        let config = client(pem)
            .map_err(|problem| ConfigError::Authority { target: target.name.clone(), problem })?;
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(config)), name }))
    }
}

fn client(pem: &str) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("it is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate".to_owned());
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
