//! Rendering apart from the machine and from the runtime's threads.

use std::sync::Arc;

use super::machine::Machine;
use crate::proxy::apart::apart;
use crate::proxy::certificates::Certificates;
use crate::proxy::error::{Error, Result};
use crate::proxy::page::Sources;
use crate::proxy::probe::HEADER;
use crate::proxy::render::{self, Rendition};
use crate::proxy::routing::{Entries, Entry};
use crate::proxy::settings::Settings;
use crate::proxy::template::Template;

/// All that a configuration is made of, beside template and services.
pub(super) struct Scribe {
    settings: Arc<Settings>,
    answers: Option<String>,
    secret: String,
    certificates: Arc<Certificates>,
}

impl Machine {
    /// A scribe for what the machine knows now.
    pub(super) fn scribe(&self) -> Scribe {
        Scribe {
            settings: self.settings.clone(),
            answers: self.driver.answers_socket().map(str::to_owned),
            secret: self.secret().to_owned(),
            certificates: self.certificates.clone(),
        }
    }
}

impl Scribe {
    /// The configuration for `entries`.
    pub async fn render(self, template: Arc<Template>, entries: Entries) -> Result<Rendition> {
        let rendered = apart(move || render::render(&template, &self.sources(), &entries)).await?;
        rendered.map_err(Error::Template)
    }

    /// The name that the configuration for `entries` has, where each backend has so many `slots`.
    pub async fn generation(
        self,
        template: Arc<Template>,
        entries: Entries,
        slots: impl Fn(&Entry) -> usize + Send + 'static,
    ) -> Result<String> {
        apart(move || render::generation(&template, &self.sources(), &entries, &slots)).await
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            settings: &self.settings,
            answers: self.answers.as_deref(),
            probe: (HEADER, &self.secret),
            certificates: &self.certificates,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::apart::tests::done_apart;
    use crate::proxy::settings::Kind;
    use crate::proxy::settings::tests::settings;
    use crate::proxy::template::Source;

    #[test]
    fn everything_is_rendered_apart() {
        for kind in [Kind::Nginx, Kind::Haproxy] {
            let scribe = || Scribe {
                settings: Arc::new(settings(kind)),
                answers: None,
                secret: "0".to_owned(),
                certificates: Arc::default(),
            };
            let template = Arc::new(Source::built_in(kind).parse().unwrap());
            let entries = Entries::new();
            let rendered = done_apart(scribe().render(template.clone(), entries.clone())).unwrap();
            let named = done_apart(scribe().generation(template, entries, render::slots)).unwrap();
            assert_eq!(rendered.generation, named);
        }
    }
}
