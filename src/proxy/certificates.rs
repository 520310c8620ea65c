//! The certificates of a directory, and which of them serves a host.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::Serialize;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::apart::apart;
use super::error::{Error, Result};

/// A certificate with its key, as files.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct Certificate {
    /// File with the certificate and its chain.
    pub chain: String,
    /// File with its key; may be the same.
    pub key: String,
    /// The names that it is for.
    #[serde(skip)]
    pub names: Vec<String>,
    /// Seconds since 1970 at which it expires.
    #[serde(skip)]
    pub expires: i64,
}

/// All certificates of a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Certificates {
    /// By file name.
    pub all: Vec<Certificate>,
    /// What could not be used, one line each.
    pub problems: Vec<String>,
    /// Changes when a certificate or a key does.
    pub fingerprint: String,
    /// The place in `all` of the one that serves a name: among several the one that expires last.
    by_name: HashMap<String, usize>,
    stamps: Option<BTreeMap<PathBuf, Stamp>>,
}

impl Certificates {
    /// Those in `directory`.
    pub fn of(directory: &Path) -> io::Result<Self> {
        stamps(directory).map(Self::read)
    }

    /// Those in `directory` now; none when no file there has changed since these were read.
    pub async fn renewed(self: &Arc<Self>, directory: &Path) -> Result<Option<Self>> {
        let (known, path) = (self.clone(), directory.to_owned());
        let looked = apart(move || {
            let stamps = stamps(&path)?;
            Ok((known.stamps.as_ref() != Some(&stamps)).then(|| Self::read(stamps)))
        });
        let failed = |source| Error::File { act: "read", path: directory.to_owned(), source };
        looked.await?.map_err(failed)
    }

    fn read(stamps: BTreeMap<PathBuf, Stamp>) -> Self {
        let mut found = Self::default();
        let mut hash = Sha256::new();
        for path in stamps.keys().filter(|path| is(path, "pem") || is(path, "crt")) {
            match read_one(path) {
                Ok(Some((certificate, bytes))) => {
                    hash.update(Sha256::digest(&bytes));
                    found.add(certificate);
                }
                Ok(None) => {}
                Err(why) => found.problems.push(format!("`{}`: {why}", path.display())),
            }
        }
        found.fingerprint = hex::encode(hash.finalize());
        found.stamps = Some(stamps);
        found
    }

    fn add(&mut self, certificate: Certificate) {
        let expires = |index: usize| self.all.get(index).map(|other| other.expires);
        for name in &certificate.names {
            let other = self.by_name.get(name).and_then(|index| expires(*index));
            if other.is_none_or(|other| other <= certificate.expires) {
                self.by_name.insert(name.clone(), self.all.len());
            }
        }
        self.all.push(certificate);
    }

    /// Every name that there is a certificate for.
    pub fn names(&self) -> Vec<String> {
        self.all.iter().flat_map(|certificate| certificate.names.clone()).collect()
    }

    /// The certificate for `host`: one that names it, else one whose wildcard covers it; among
    /// several the one that expires last.
    pub fn for_host(&self, host: &str) -> Option<&Certificate> {
        let named = |name: &str| self.all.get(*self.by_name.get(name)?);
        named(host).or_else(|| named(&format!("*.{}", host.split_once('.')?.1)))
    }
}

/// What changes with a file: where it stays, the file is not read again. The time is that of any
/// change, so that one that may be read at last counts as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    changed: (i64, i64),
    inode: u64,
    length: u64,
}

fn stamps(directory: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut stamps = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // Follows links, as certificates often are.
        if let Ok(metadata) = fs::metadata(&path)
            && metadata.is_file()
        {
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            let stamp = Stamp { changed, inode: metadata.ino(), length: metadata.len() };
            stamps.insert(path, stamp);
        }
    }
    Ok(stamps)
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// The certificate in `path` and the bytes that it stands for; none where the file has no certificate.
fn read_one(path: &Path) -> Result<Option<(Certificate, Vec<u8>)>, String> {
    let mut bytes = fs::read(path).map_err(|error| error.to_string())?;
    let Some(first) = CertificateDer::pem_slice_iter(&bytes).next() else {
        return Ok(None);
    };
    let der = first.map_err(|error| error.to_string())?;
    let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
    let names = names(&parsed);
    let expires = parsed.validity().not_after.timestamp();
    let key = if has_key(&bytes) {
        path.to_owned()
    } else {
        let beside = path.with_extension("key");
        bytes.extend(fs::read(&beside).map_err(|error| {
            format!("it has no private key, and `{}`: {error}", beside.display())
        })?);
        beside
    };
    let text = |path: &Path| {
        let text = path.to_str().ok_or("its path is not UTF-8")?;
        Ok::<_, String>(text.to_owned())
    };
    let certificate = Certificate { chain: text(path)?, key: text(&key)?, names, expires };
    Ok(Some((certificate, bytes)))
}

fn has_key(pem: &[u8]) -> bool {
    PrivateKeyDer::from_pem_slice(pem).is_ok()
}

/// Subject alternative names; the common name where there are none.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    if let Some(alternative) = alternative {
        let dns = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        };
        return alternative.value.general_names.iter().filter_map(dns).collect();
    }
    let common = certificate.subject().iter_common_name();
    common.filter_map(|name| name.as_str().ok()).map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::apart::tests::done_apart;

    fn pem(names: &[&str]) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn a_file_that_may_be_read_at_last_is_read() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pem");
        fs::write(&path, "").unwrap();
        let mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o000);
        let before = stamps(directory.path()).unwrap();
        // The clock that files are stamped by moves in steps.
        while stamps(directory.path()).unwrap() == before {
            mode(0o600);
        }
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }

    #[test]
    fn the_one_that_expires_last_serves() {
        let mut found = Certificates::default();
        for (chain, expires) in [("old", 1), ("new", 3), ("middle", 2)] {
            let text = || chain.to_owned();
            let names = vec!["a.example.com".to_owned()];
            found.add(Certificate { chain: text(), key: text(), names, expires });
        }
        assert_eq!(found.for_host("a.example.com").map(|c| c.chain.as_str()), Some("new"));
    }

    #[test]
    fn hosts_find_their_certificates() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let (wild, wild_key) = pem(&["*.example.com", "example.com"]);
        write("bundle.pem", &format!("{wild}{wild_key}"));
        let (exact, exact_key) = pem(&["books.example.com"]);
        write("exact.crt", &exact);
        write("exact.key", &exact_key);
        let (keyless, _) = pem(&["lost.example.org"]);
        write("keyless.crt", &keyless);
        write("notes.txt", "nothing");
        let found = Certificates::of(directory.path()).unwrap();
        let file = |host: &str| {
            let chain = found.for_host(host)?.chain.clone();
            Some(chain.rsplit('/').next()?.to_owned())
        };
        assert_eq!(file("books.example.com").as_deref(), Some("exact.crt"));
        assert_eq!(file("other.example.com").as_deref(), Some("bundle.pem"));
        assert_eq!(file("example.com").as_deref(), Some("bundle.pem"));
        assert_eq!(file("a.b.example.com"), None);
        assert_eq!(file("lost.example.org"), None);
        assert_eq!(found.problems.len(), 1);
        assert!(found.problems[0].contains("keyless.crt"), "{:?}", found.problems);
        write("exact.key", &format!("{exact_key}\n"));
        let now = Certificates::of(directory.path()).unwrap();
        assert_ne!(now.fingerprint, found.fingerprint, "a new key is a change");
    }

    #[test]
    fn they_are_read_apart_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let (chain, key) = pem(&["books.example.com"]);
        fs::write(directory.path().join("a.pem"), format!("{chain}{key}")).unwrap();
        let known = Arc::new(Certificates::default());
        let found = done_apart(known.renewed(directory.path())).unwrap().unwrap();
        assert_eq!((found.all.len(), found.problems.len()), (1, 0));
        let found = Arc::new(found);
        assert_eq!(done_apart(found.renewed(directory.path())).unwrap(), None);
    }
}
