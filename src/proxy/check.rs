//! Looks at templates without a proxy: they parse, and render for services of every kind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::certificates::Certificates;
use super::page::Sources;
use super::render::render;
use super::routing::{Entries, Entry};
use super::settings::{Kind, Settings};
use super::template::{Fault, Source, Template};
use crate::model::{Backend, Colour, RouteRule, ServiceName, ServiceView};

/// What is wrong with the template at `path`, one line each with file, line and column, rendered as for
/// an example of a proxy. Of which kind that is, the file does not say: one that it works for is enough.
pub fn check_template(path: &Path) -> Result<(), Vec<String>> {
    let source = Source::read(path).map_err(|error| {
        let why = std::error::Error::source(&error).map(ToString::to_string);
        vec![format!("{error}: {}", why.unwrap_or_default())]
    })?;
    let template = source.parse().map_err(told)?;
    let [likely, other] = match looks_like_haproxy(&source) {
        true => [Kind::Haproxy, Kind::Nginx],
        false => [Kind::Nginx, Kind::Haproxy],
    };
    let rendered = |kind| render_samples(&example(kind), &template);
    rendered(likely).or_else(|fault| rendered(other).map_err(|_| told(fault)))
}

/// A proxy with all that templates may ask for.
fn example(kind: Kind) -> Settings {
    Settings {
        https: Some(([192, 0, 2, 1], 443).into()),
        certificates: Some("/etc/edge/certificates".into()),
        ..Settings::example(kind)
    }
}

/// Sections of `HAProxy`'s configuration begin with these words; in nginx's they are no directives.
fn looks_like_haproxy(source: &Source) -> bool {
    let mut lines = source.files.values().flat_map(|text| text.lines());
    lines.any(|line| {
        let word = line.split_whitespace().next().unwrap_or_default();
        ["global", "defaults", "frontend", "backend", "listen"].contains(&word)
            && !line.trim_end().ends_with([';', '{'])
    })
}

/// What is wrong with the template of the proxy that `settings` describe, rendered as for a service
/// that is live, one without instances and one without TLS.
pub fn check(settings: &Settings) -> Result<(), Vec<String>> {
    let source = Source::load(settings).map_err(|error| {
        let why = std::error::Error::source(&error).map(ToString::to_string);
        vec![format!("{error}: {}", why.unwrap_or_default())]
    })?;
    let template = source.parse().map_err(told)?;
    render_samples(settings, &template).map_err(told)
}

fn render_samples(settings: &Settings, template: &Template) -> Result<(), Fault> {
    let certificates = Certificates::default();
    let sources = Sources {
        settings,
        answers: None,
        probe: ("X-Verdigris-Probe", "0"),
        certificates: &certificates,
    };
    for entries in [Entries::new(), samples()] {
        render(template, &sources, &entries)?;
    }
    Ok(())
}

/// A service that is live, one without instances and one without TLS.
pub(super) fn samples() -> Entries {
    let backend =
        |port| Backend { task: format!("task{port}"), address: ([192, 0, 2, 1], port).into() };
    let both = BTreeMap::from([
        (Colour::Blue, vec![backend(8001), backend(8002)]),
        (Colour::Green, vec![backend(8003)]),
    ]);
    [
        sample("sample-live", true, Some(Colour::Green), both),
        sample("sample-idle", true, None, BTreeMap::new()),
        sample("sample-plain", false, Some(Colour::Blue), BTreeMap::new()),
    ]
    .into_iter()
    .flatten()
    .map(|(service, entry)| (service, Arc::new(entry)))
    .collect()
}

fn sample(
    name: &str,
    tls: bool,
    live: Option<Colour>,
    backends: BTreeMap<Colour, Vec<Backend>>,
) -> Option<(ServiceName, Entry)> {
    let service: ServiceName = name.parse().ok()?;
    let rule = RouteRule { hosts: vec![format!("{name}.example.com")], path: "/".to_owned(), tls };
    let view = ServiceView { service: service.clone(), rule, live, generation: 1, backends };
    Some((service, Entry { view, next: None }))
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn told(fault: Fault) -> Vec<String> {
    vec![fault.to_string()]
}
