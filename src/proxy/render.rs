//! From services to the text of a configuration: pure.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::certificates::Certificates;
use super::error::Error;
use super::map::map_text;
use super::page::{Page, Sources};
use super::probe;
use super::routing::{self, Entries, Entry};
use super::settings::{Kind, Settings};
use super::template::{Fault, Source, Template};
use crate::model::ServiceView;

/// A rendered configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendition {
    /// The configuration file.
    pub text: String,
    /// The map file (`HAProxy`).
    pub map: Option<String>,
    /// Names all that only a reload can change; the private listener tells it.
    pub generation: String,
}

/// What `settings` render for `views`, from the files on disk and without touching anything: for
/// checking a template before any daemon runs.
pub fn preview(settings: &Settings, views: &[ServiceView]) -> Result<Rendition, Error> {
    let problems = settings.problems();
    if !problems.is_empty() {
        return Err(Error::Settings { proxy: settings.name.clone(), problems });
    }
    let template = Source::load(settings)?.parse().map_err(Error::Template)?;
    let certificates = match &settings.certificates {
        Some(directory) => {
            let failed = |source| Error::File { act: "read", path: directory.clone(), source };
            Certificates::of(directory).map_err(failed)?
        }
        None => Certificates::default(),
    };
    let mut entries = Entries::new();
    for view in views {
        routing::admit(&view.service, &view.rule, &entries)?;
        let entry = Entry { view: view.clone(), next: None };
        entries.insert(view.service.clone(), Arc::new(entry));
    }
    // In place of the secret and the socket of a keeper that runs.
    let sources = Sources {
        settings,
        answers: None,
        probe: (probe::HEADER, "secret"),
        certificates: &certificates,
    };
    render(&template, &sources, &entries).map_err(Error::Template)
}

/// Fewest server slots per backend: scaling a small service costs no reload.
const FEWEST_SLOTS: usize = 4;

/// How many server slots each backend of `entry` has; grows by doubling, so that scaling rarely costs
/// a reload. One is to spare, so that an instance can be replaced before it is taken out.
pub(crate) fn slots(entry: &Entry) -> usize {
    let most = entry.view.backends.values().map(Vec::len).max().unwrap_or(0);
    (most + 1).next_power_of_two().max(FEWEST_SLOTS)
}

/// Render `entries`.
pub(crate) fn render(
    template: &Template,
    sources: &Sources<'_>,
    entries: &Entries,
) -> Result<Rendition, Fault> {
    let page = Page::new(sources, entries, template.asks(), &slots);
    let generation = name(template, sources, &page);
    let text = template.render(&page.named(&generation))?;
    let map = (sources.settings.kind == Kind::Haproxy).then(|| map_text(entries));
    Ok(Rendition { text, map, generation })
}

/// The name of what only a reload can change: everything but the live colours and, where the template
/// leaves them to the run time, addresses and rules. Two renditions with the same name differ in
/// nothing that the running proxy would have to read again.
pub(crate) fn generation(
    template: &Template,
    sources: &Sources<'_>,
    entries: &Entries,
    slots: &dyn Fn(&Entry) -> usize,
) -> String {
    name(template, sources, &Page::new(sources, entries, template.asks(), slots))
}

fn name(template: &Template, sources: &Sources<'_>, page: &Page<'_>) -> String {
    let mut hash = Sha(Sha256::new());
    template.fingerprint().hash(&mut hash);
    // A renewed certificate is a change, though its file name stays.
    sources.certificates.fingerprint.hash(&mut hash);
    page.hash(&mut hash);
    format!("{:016x}", hash.finish())
}

/// SHA-256 of what is hashed, without a text of it in between. 64 bits of it are enough: what is
/// compared are a handful of configurations of one proxy.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Backend, Colour, RouteRule};
    use crate::proxy::settings::tests::settings;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn view(service: &str, host: &str, path: &str, tls: bool) -> ServiceView {
        let backends = |second: u8, count: u8| {
            let backend = |index| Backend {
                task: format!("task-{index}"),
                address: format!("10.0.{second}.{}:8080", index + 1).parse().unwrap(),
            };
            (0..count).map(backend).collect::<Vec<_>>()
        };
        ServiceView {
            service: service.parse().unwrap(),
            rule: RouteRule { hosts: vec![host.to_owned()], path: path.to_owned(), tls },
            live: Some(Colour::Blue),
            generation: 1,
            backends: BTreeMap::from([
                (Colour::Blue, backends(1, 2)),
                (Colour::Green, backends(2, 1)),
            ]),
        }
    }

    fn several() -> Vec<ServiceView> {
        let mut fresh = view("fresh", "fresh.example.com", "/", false);
        fresh.live = None;
        fresh.backends.remove(&Colour::Green);
        vec![
            view("books", "shop.example.com", "/api/v1/books", true),
            view("shop", "shop.example.com", "/", true),
            view("plain", "plain.example.com", "/only", false),
            fresh,
        ]
    }

    fn both(kind: Kind, views: &[ServiceView]) -> String {
        let rendition = preview(&settings(kind), views).unwrap();
        let map = rendition.map.map(|map| format!("\n==== map\n{map}"));
        let text = rendition.text.replace(&rendition.generation, "GENERATION");
        format!("{text}{}", map.unwrap_or_default())
    }

    #[test]
    fn nginx_without_services() {
        insta::assert_snapshot!(both(Kind::Nginx, &[]));
    }

    #[test]
    fn nginx_with_several() {
        insta::assert_snapshot!(both(Kind::Nginx, &several()));
    }

    #[test]
    fn haproxy_without_services() {
        insta::assert_snapshot!(both(Kind::Haproxy, &[]));
    }

    #[test]
    fn haproxy_with_several() {
        insta::assert_snapshot!(both(Kind::Haproxy, &several()));
    }

    /// Settings with HTTPS and an empty `directory` of certificates.
    fn bare(kind: Kind, directory: &tempfile::TempDir) -> Settings {
        Settings {
            https: Some(([192, 0, 2, 1], 443).into()),
            certificates: Some(directory.path().to_owned()),
            ..settings(kind)
        }
    }

    /// It warns of a TLS listener that has none, which counts as a refusal.
    #[test]
    fn haproxy_does_not_listen_on_tls_without_a_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let text = preview(&bare(Kind::Haproxy, &directory), &several()).unwrap().text;
        assert!(!text.contains(" ssl "), "{text}");
    }

    #[test]
    fn nginx_has_no_server_that_listens_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { http: None, ..bare(Kind::Nginx, &directory) };
        let text = preview(&settings, &several()).unwrap().text;
        let servers: Vec<&str> = text.split("server {").skip(1).collect();
        assert!(servers.iter().all(|server| server.contains(" listen ")), "{text}");
        assert!(!text.contains("plain.example.com"), "it asks for no TLS: {text}");
    }

    #[test]
    fn the_live_colour_does_not_change_the_generation() {
        for kind in [Kind::Nginx, Kind::Haproxy] {
            let mut views = several();
            let before = preview(&settings(kind), &views).unwrap();
            views[0].live = Some(Colour::Green);
            let after = preview(&settings(kind), &views).unwrap();
            assert_eq!(after.generation, before.generation);
            views[0].backends.insert(Colour::Green, Vec::new());
            let fewer = preview(&settings(kind), &views).unwrap();
            // HAProxy gets addresses at run time.
            assert_eq!(fewer.generation == before.generation, kind == Kind::Haproxy);
        }
    }

    #[test]
    fn nginx_has_its_addresses_from_the_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nginx.tera");
        std::fs::write(&path, "{% for s in services %}{{ s.colours[0].slots }}{% endfor %}")
            .unwrap();
        let settings = Settings { template: Some(path), ..settings(Kind::Nginx) };
        let generation = |views: &[ServiceView]| preview(&settings, views).unwrap().generation;
        let mut views = several();
        let before = generation(&views);
        views[0].backends.get_mut(&Colour::Blue).unwrap()[0].address =
            "10.9.9.9:80".parse().unwrap();
        assert_ne!(generation(&views), before);
    }

    #[test]
    fn slots_grow_by_doubling() {
        let mut entry = Entry { view: view("a", "a.example.com", "/", false), next: None };
        let mut with = |count: u16| {
            let backend =
                |port| Backend { task: String::new(), address: ([10, 0, 0, 1], port).into() };
            entry.view.backends.insert(Colour::Blue, (0..count).map(backend).collect());
            slots(&entry)
        };
        assert_eq!([with(0), with(3), with(4), with(7), with(8), with(100)], [4, 4, 8, 8, 16, 128]);
    }

    /// Directives by their number and their first words: what nobody's input may change.
    fn shape(kind: Kind, text: &str) -> Vec<String> {
        let lines = text.lines().map(str::trim);
        let word = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
        match kind {
            Kind::Nginx => lines.map(word).filter(|word| !word.starts_with('#')).collect(),
            Kind::Haproxy => lines.map(word).filter(|word| !word.starts_with('#')).collect(),
        }
    }

    proptest! {
        #[test]
        fn no_valid_name_escapes_into_directives(
            service in "[a-z][a-z0-9-]{0,20}[a-z0-9]",
            host in "([a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?\\.){1,4}[a-z]{2,5}",
            path in "(/[A-Za-z0-9._~@:+-]{1,8}){1,3}",
        ) {
            let plain = view("aa", "b.example.com", "/c", false);
            let odd = view(&service, &host, &path, false);
            prop_assume!(routing::admit(&odd.service, &odd.rule, &Entries::new()).is_ok());
            for kind in [Kind::Nginx, Kind::Haproxy] {
                let expected = preview(&settings(kind), std::slice::from_ref(&plain)).unwrap();
                let found = preview(&settings(kind), std::slice::from_ref(&odd)).unwrap();
                prop_assert_eq!(shape(kind, &found.text), shape(kind, &expected.text));
                prop_assert_eq!(found.map.map(|m| m.lines().count()), expected.map.map(|m| m.lines().count()));
            }
        }

        #[test]
        fn whatever_else_is_refused(host in ".{0,12}", path in ".{0,12}") {
            let odd = view("aa", &host, &path, false);
            let special = |c: char| c.is_whitespace() || c.is_control() || "{};\"'\\$#".contains(c);
            if host.contains(special) || path.contains(special) {
                prop_assert!(preview(&settings(Kind::Nginx), &[odd]).is_err());
            }
        }
    }
}
