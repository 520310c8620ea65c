use std::path::PathBuf;

use url::Url;

use crate::document::{At, Place, Problems, leaf, record};

use super::engine::{Tls, identity};
use super::leaves::{FilePath, HttpUrl};
use super::load::Base;

/// `prefix` when nothing is said.
pub const PREFIX: &str = "verdigris";

/// Where instances and colours are recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "one per daemon")]
pub enum Registry {
    /// In the daemon's state directory.
    Embedded,
    /// In Consul.
    Consul(Consul),
}

/// How Consul is reached and what part of it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consul {
    /// Any agent's HTTP API.
    pub address: Url,
    /// File with the ACL token.
    pub token_file: Option<PathBuf>,
    /// TLS for `https://`.
    pub tls: Option<Tls>,
    /// The key that everything is kept under.
    pub prefix: String,
    /// The datacenter, when it is not the agent's own.
    pub datacenter: Option<String>,
}

leaf! {
    /// What Consul keys begin with.
    Prefix(String) is "a prefix of keys", like "verdigris", by parse_prefix;

    /// A word of Consul.
    Datacenter(String) is "a datacenter", like "dc1", by parse_datacenter;
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.split('/').any(|part| part.is_empty() || !part.chars().all(allowed)) {
        return Err("use letters, digits and `-_.`, with `/` between parts".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_datacenter(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if text.is_empty() || !text.chars().all(allowed) {
        return Err("use letters, digits and `-_`".to_owned());
    }
    Ok(text.to_owned())
}

record! {
    /// `[registry]`
    pub(super) struct RegistryRecord {
        kind: Option<At<String>>,
        address: Option<At<HttpUrl>>,
        token_file: Option<At<FilePath>>,
        ca: Option<At<FilePath>>,
        cert: Option<At<FilePath>>,
        key: Option<At<FilePath>>,
        prefix: Option<At<Prefix>>,
        datacenter: Option<At<Datacenter>>,
    }
}

impl RegistryRecord {
    /// The registry; `place` is that of the section.
    pub fn validate(
        record: Option<&At<Self>>,
        base: &Base,
        problems: &mut Problems,
    ) -> Option<Registry> {
        let Some(At { value: record, place }) = record else { return Some(Registry::Embedded) };
        match record.kind.as_ref().map(|kind| kind.value.as_str()) {
            Some("consul") => record.consul(place, base, problems).map(Registry::Consul),
            None | Some("embedded") => {
                for place in record.places_of_consul() {
                    problems.report(
                        place,
                        "it has no meaning for the embedded registry",
                        "remove it, or say `kind = \"consul\"`",
                    );
                }
                Some(Registry::Embedded)
            }
            Some(other) => {
                let place = record.kind.as_ref().map_or(place, |kind| &kind.place);
                let what = format!("there is no kind `{other}` of registry");
                problems.report(place, what, "write `embedded` or `consul`");
                None
            }
        }
    }

    fn consul(&self, place: &Place, base: &Base, problems: &mut Problems) -> Option<Consul> {
        let identity = identity(self.cert.as_ref(), self.key.as_ref(), base, problems);
        let ca = self.ca.as_ref().map(|path| base.resolve(&path.value.0));
        let tls = (ca.is_some() || identity.is_some()).then_some(Tls { ca, identity });
        let Some(address) = &self.address else {
            if !problems.mention(&place.below("address").key) {
                let remedy = "write for example `address = \"http://127.0.0.1:8500\"`";
                problems.report(place, "`address` is missing", remedy);
            }
            return None;
        };
        let HttpUrl(url) = &address.value;
        if !url.username().is_empty() || url.password().is_some() {
            problems.report(
                &address.place,
                "credentials do not belong into the address",
                "put the token into a file and name it in `token_file`",
            );
        }
        if url.scheme() == "http" && tls.is_some() {
            let files = [&self.ca, &self.cert, &self.key];
            for file in files.into_iter().flatten() {
                problems.report(&file.place, "TLS needs `https://`", "change `address`");
            }
        }
        Some(Consul {
            address: url.clone(),
            token_file: self.token_file.as_ref().map(|path| base.resolve(&path.value.0)),
            tls,
            prefix: self.prefix.as_ref().map_or(PREFIX, |prefix| &prefix.value.0).to_owned(),
            datacenter: self.datacenter.as_ref().map(|it| it.value.0.clone()),
        })
    }

    fn places_of_consul(&self) -> impl Iterator<Item = &Place> {
        let files = [&self.token_file, &self.ca, &self.cert, &self.key];
        let files = files.into_iter().flatten().map(|file| &file.place);
        files
            .chain(self.address.as_ref().map(|it| &it.place))
            .chain(self.prefix.as_ref().map(|it| &it.place))
            .chain(self.datacenter.as_ref().map(|it| &it.place))
    }
}
