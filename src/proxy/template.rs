//! Tera templates: parsing what a template includes, rendering, and errors with their place.

mod asks;
mod fault;
mod source;
mod traced;

use sha2::{Digest, Sha256};
use tera::{Context, Tera};

pub(crate) use asks::Asks;
pub(crate) use fault::Fault;
pub(crate) use source::{Source, Unreadable};

use super::page::Page;

impl Source {
    /// Parse it.
    pub fn parse(&self) -> Result<Template, Fault> {
        let mut tera = Tera::default();
        tera.autoescape_on(Vec::<&str>::new());
        let files = self.files.iter().map(|(name, text)| (name, text.as_str()));
        tera.add_raw_templates(files).map_err(|error| self.fault(&error))?;
        let mut hash = Sha256::new();
        for (name, text) in self.texts() {
            // Lengths keep names and texts apart.
            hash.update(format!("{name} {}:{text}", text.len()));
        }
        let fingerprint = hash.finalize().to_vec();
        Ok(Template { tera, source: self.clone(), fingerprint, asks: Asks::of(self) })
    }
}

/// A parsed template.
pub(crate) struct Template {
    tera: Tera,
    source: Source,
    fingerprint: Vec<u8>,
    asks: Asks,
}

impl Template {
    /// What it was parsed from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Changes when one of its files does.
    pub fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    /// What it asks for.
    pub fn asks(&self) -> Asks {
        self.asks
    }

    /// The text for `page`.
    pub fn render(&self, page: &Page<'_>) -> Result<String, Fault> {
        let context = Context::from_serialize(page).map_err(|error| self.source.fault(&error))?;
        let rendered = self.tera.render(&self.source.main, &context);
        rendered.map_err(|error| self.source.fault(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::source::tests::written;
    use super::*;
    use crate::proxy::settings::Kind;

    /// The fault of a template, with file names relative to its directory.
    fn fault(files: &[(&str, &str)]) -> (String, Vec<String>) {
        let (directory, source) = written(files);
        let fault = match source.parse() {
            Err(fault) => fault,
            Ok(template) => {
                let rendered = template.tera.render(&source.main, &Context::new());
                source.fault(&rendered.unwrap_err())
            }
        };
        let prefix = format!("{}/", directory.path().display());
        let text = fault.to_string();
        assert!(text.starts_with(&prefix), "{text}");
        let message = fault.message.lines().next().unwrap();
        assert!(!fault.further().join("\n").contains(message), "{:?}", fault.report);
        (text.replace(&prefix, ""), fault.further())
    }

    #[test]
    fn faults_have_a_place() {
        let syntax = fault(&[("a.tera", "one\n{% if %}\n")]).0;
        assert!(syntax.starts_with("a.tera:2:"), "{syntax}");
        let unknown = fault(&[("a.tera", "one\n  {{ missing.field }}")]).0;
        assert!(unknown.starts_with("a.tera:2:6: "), "{unknown}");
        let filter = fault(&[("a.tera", "\n\n{{ 1 | nonsense }}")]).0;
        assert!(filter.starts_with("a.tera:3:") && filter.contains("nonsense"), "{filter}");
        let lost = fault(&[("a.tera", "\n{% include \"b.tera\" %}")]).0;
        assert!(lost.starts_with("a.tera:2:") && lost.contains("b.tera"), "{lost}");
    }

    #[test]
    fn faults_in_an_included_file_show_the_way_there() {
        let files = [
            ("a.tera", "{% include \"parts/b.tera\" %}"),
            ("parts/b.tera", "\n{{ missing.field }}"),
        ];
        let (text, report) = fault(&files);
        assert!(text.starts_with("parts/b.tera:2:"), "{text}");
        assert!(report.iter().any(|line| line.contains("a.tera:1:")), "{report:?}");
    }

    #[test]
    fn the_templates_built_in_ask_for_what_they_need() {
        let asks = |kind| Source::built_in(kind).parse().unwrap().asks();
        assert_eq!(asks(Kind::Nginx), Asks { servers: true, slots: false, rules: true });
        assert_eq!(asks(Kind::Haproxy), Asks { servers: false, slots: true, rules: false });
    }
}
