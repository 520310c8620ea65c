//! Certificates made for the occasion.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// PEM files: an authority, and what it signed.
pub struct Certificates {
    pub ca: PathBuf,
    /// Certificate and key.
    pub server: (PathBuf, PathBuf),
    /// Certificate and key.
    pub client: (PathBuf, PathBuf),
}

pub fn make(directory: &Path) -> Certificates {
    let ca = authority();
    let path = directory.join("ca.pem");
    std::fs::write(&path, ca.pem()).unwrap();
    let pair = |name: &str, names: &[&str], purpose| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap();
        let files = [".pem", "-key.pem"].map(|end| directory.join(format!("{name}{end}")));
        std::fs::write(&files[0], certificate.pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        files.into()
    };
    let server = ["server.dc1.consul", "localhost", "127.0.0.1"];
    Certificates {
        ca: path,
        server: pair("server", &server, ExtendedKeyUsagePurpose::ServerAuth),
        client: pair("client", &["verdigris"], ExtendedKeyUsagePurpose::ClientAuth),
    }
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}
