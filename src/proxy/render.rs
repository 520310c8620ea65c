//! From services to the text of a configuration: pure.

use sha2::{Digest, Sha256};

use super::page::{Detail, Page, Sources, map_lines};
use super::routing::{Entries, Entry};
use super::settings::Kind;
use super::template::{Fault, Template};

/// A rendered configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendition {
    /// The configuration file.
    pub text: String,
    /// The map file (`HAProxy`).
    pub map: Option<String>,
    /// Names all that only a reload can change; the private listener tells it.
    pub generation: String,
}

/// 64 bits: what is compared are a handful of configurations of one proxy.
const GENERATION_BYTES: usize = 8;

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
    let generation = generation(template, sources, entries, &slots)?;
    let page = Page::new(sources, entries, &generation, Detail::Full, &slots);
    let text = template.render(&page)?;
    let map = (sources.settings.kind == Kind::Haproxy).then(|| map_text(entries));
    Ok(Rendition { text, map, generation })
}

/// The name of what only a reload can change: everything but the live colours and, where a runtime
/// interface sets them, the addresses. Two renditions with the same name differ in nothing that the
/// running proxy would have to read again.
pub(crate) fn generation(
    template: &Template,
    sources: &Sources<'_>,
    entries: &Entries,
    slots: &dyn Fn(&Entry) -> usize,
) -> Result<String, Fault> {
    let detail = Detail::Fixed { slots: sources.settings.kind == Kind::Haproxy };
    let fixed = template.render(&Page::new(sources, entries, "", detail, slots))?;
    let mut hash = Sha256::new();
    hash.update(fixed.as_bytes());
    // A renewed certificate is a change, though its file name stays.
    hash.update(sources.certificates.fingerprint.as_bytes());
    Ok(hex::encode(&hash.finalize()[..GENERATION_BYTES]))
}

/// The map file.
pub(crate) fn map_text(entries: &Entries) -> String {
    let mut text = String::from(
        "# Written by Verdigris: routes (scheme:host/prefix/ service) and live colours (=service backend).\n",
    );
    for (key, value) in map_lines(entries) {
        text.push_str(&key);
        text.push(' ');
        text.push_str(&value);
        text.push('\n');
    }
    text
}
