//! TLS on the client's side, the same for engines, gates and probes: ring, and either the authorities
//! in a file and no others, or the system's.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// TLS cannot be set up as asked for.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be used.
    #[error("cannot use the TLS file `{}`", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: FileProblem,
    },
    /// Nobody would be trusted.
    #[error("the system has no certificate authorities: install `ca-certificates`, or set `ca`")]
    NoAuthorities,
    /// The versions or ciphers do not fit together.
    #[error("cannot set up TLS")]
    SetUp(#[source] rustls::Error),
}

/// What is wrong with a file of certificates or of a key.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// It cannot be read, or is no PEM.
    #[error(transparent)]
    Read(#[from] pem::Error),
    /// It is PEM, of something else.
    #[error("it holds no certificate")]
    Empty,
    /// A certificate or key in it is not fit for use.
    #[error(transparent)]
    Unfit(#[from] rustls::Error),
}

/// A certificate with its chain, and its key, both PEM files: what a client shows.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate, and those between it and the authority.
    pub certificate: &'a Path,
    /// Its key.
    pub key: &'a Path,
}

/// A client that trusts the authorities in `ca` and no others, as `docker --tlsverify` does, or the
/// system's without it; and shows who it is with `identity`.
pub fn client(ca: Option<&Path>, identity: Option<Identity<'_>>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::SetUp)?
        .with_root_certificates(authorities(ca)?);
    let Some(Identity { certificate, key }) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
    let shown = builder.with_client_auth_cert(certificates(certificate)?, secret);
    shown.map_err(|error| unusable(certificate, error))
}

fn authorities(ca: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    if let Some(ca) = ca {
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| unusable(ca, error))?;
        }
        return Ok(roots);
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoAuthorities) } else { Ok(roots) }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unusable(file, error))?;
    if certificates.is_empty() {
        return Err(unusable(file, FileProblem::Empty));
    }
    Ok(certificates)
}

fn unusable(file: &Path, problem: impl Into<FileProblem>) -> TlsError {
    TlsError::File { path: file.to_owned(), source: problem.into() }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    fn refused(ca: &Path) -> String {
        let error = client(Some(ca), None).unwrap_err();
        assert!(error.to_string().contains("ca.pem"), "{error}");
        error.source().unwrap().to_string()
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.pem");
        assert!(refused(&ca).contains("No such file"));
        std::fs::write(&ca, "nothing").unwrap();
        assert_eq!(refused(&ca), "it holds no certificate");
        std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .unwrap();
        assert!(refused(&ca).contains("invalid peer certificate"), "{}", refused(&ca));
    }

    #[test]
    fn an_identity_needs_a_certificate_and_the_key_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let put = |name: &str, text: String| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let made = |name: &str| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            (made.cert.pem(), made.signing_key.serialize_pem())
        };
        let ((certificate, key), (_, other)) = (made("one"), made("other"));
        let ca = put("ca.pem", certificate.clone());
        let (certificate, key) = (put("cert.pem", certificate), put("key.pem", key));
        let shown = |key: &Path| {
            client(Some(&ca), Some(Identity { certificate: &certificate, key })).map(drop)
        };
        shown(&key).unwrap();
        let mixed = shown(&put("other.pem", other)).unwrap_err();
        assert!(mixed.to_string().contains("cert.pem"), "{mixed}");
        let absent = shown(&directory.path().join("absent.pem")).unwrap_err();
        assert!(absent.to_string().contains("absent.pem"), "{absent}");
    }
}
