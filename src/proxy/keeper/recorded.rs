//! What a keeper begins with that has no memory of its own.

use std::sync::Arc;
use std::time::Duration;

use crate::deploy::ledger;
use crate::deploy::ports::{PortError, PortResult, Registry, Trouble};
use crate::proxy::error::{Error, Result};
use crate::proxy::probe;
use crate::proxy::routing::{Entries, Entry};
use crate::proxy::settings::Settings;

/// A registry that does not answer within this time is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The services as `registry` has them. A keeper that has never run here, or whose state was lost, begins
/// with them: without, it would render a configuration without any service, and cut off those that a
/// proxy still leads the public to. So where the registry does not say, only a proxy that goes by nothing
/// of ours, whose configuration `config` is, begins without services: they come one by one later.
pub async fn recorded(
    settings: &Settings,
    config: Option<&str>,
    registry: &dyn Registry,
) -> Result<Entries> {
    match ask(registry).await {
        Err(source) if config.is_some_and(probe::is_answered_by) => Err(Error::Unremembered {
            proxy: settings.name.clone(),
            path: settings.output.clone(),
            source: Box::new(source),
        }),
        Err(error) => {
            let proxy = &settings.name;
            tracing::warn!(proxy, error = error.chain(), "its keeper begins without services");
            Ok(Entries::new())
        }
        Ok(entries) => Ok(entries),
    }
}

async fn ask(registry: &dyn Registry) -> PortResult<Entries> {
    let asked = tokio::time::timeout(PATIENCE, registry.read_all()).await;
    let records = asked.unwrap_or_else(|_| {
        let error = PortError::new(Trouble::Unreachable, "read what the registry has");
        Err(error.because(format!("no answer within {} s", PATIENCE.as_secs())))
    })?;
    let views = records.iter().filter_map(|(service, record)| ledger::public(service, record));
    let entries = views.map(|view| (view.service.clone(), Arc::new(Entry { view, next: None })));
    Ok(entries.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use async_trait::async_trait;
    use futures_util::stream::BoxStream;

    use super::*;
    use crate::model::{ServiceName, ServiceRecord};
    use crate::proxy::render::preview;
    use crate::proxy::settings::Kind;
    use crate::proxy::settings::tests::settings;

    /// Says that it is away, or nothing.
    struct Away {
        is_silent: bool,
    }

    impl Away {
        async fn answer<T>(&self) -> PortResult<T> {
            match self.is_silent {
                true => std::future::pending().await,
                false => Err(PortError::new(Trouble::Unreachable, "ask it")),
            }
        }
    }

    #[async_trait]
    impl Registry for Away {
        async fn read(&self, _: &ServiceName) -> PortResult<ServiceRecord> {
            self.answer().await
        }

        async fn read_all(&self) -> PortResult<BTreeMap<ServiceName, ServiceRecord>> {
            self.answer().await
        }

        async fn write(&self, _: &ServiceName, _: &ServiceRecord) -> PortResult<()> {
            self.answer().await
        }

        async fn replace(
            &self,
            _: &ServiceName,
            _: &ServiceRecord,
            _: &ServiceRecord,
        ) -> PortResult<()> {
            self.answer().await
        }

        async fn changes(&self) -> PortResult<BoxStream<'static, ()>> {
            self.answer().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_that_may_serve_is_not_taken_for_one_without_services() {
        for kind in [Kind::Nginx, Kind::Haproxy] {
            let settings = settings(kind);
            let ours = preview(&settings, &[]).unwrap().text;
            for (is_silent, why) in [(false, "cannot ask it"), (true, "no answer within 5 s")] {
                let begun = recorded(&settings, Some(&ours), &Away { is_silent }).await;
                let error = begun.unwrap_err();
                for words in [settings.name.as_str(), "/etc/edge/proxy.conf", why] {
                    assert!(error.chain().contains(words), "{words} in {}", error.chain());
                }
                assert!(error.remedy().unwrap().contains("state directory"));
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_start_needs_no_registry() {
        let foreign = "# sends X-Upstream\nevents {}\nhttp { server { listen 80; } }\n";
        for config in [None, Some(""), Some(foreign)] {
            for is_silent in [false, true] {
                let begun = recorded(&settings(Kind::Nginx), config, &Away { is_silent }).await;
                assert_eq!(begun.unwrap(), Entries::new());
            }
        }
    }
}
