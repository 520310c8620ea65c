//! Flag files: exactly one per service says which colour is live.

use std::path::{Path, PathBuf};

use crate::model::{Colour, ServiceName};
use crate::proxy::error::Result;
use crate::proxy::install;
use crate::proxy::names::FlagName;
use crate::proxy::routing::Entries;

/// The directory of flags.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    directory: PathBuf,
}

impl Flags {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, service: &ServiceName, colour: Colour) -> PathBuf {
        self.directory.join(FlagName(service, colour).to_string())
    }

    /// Make `to` live. The configuration tests for blue, then for green, so green wins where both
    /// are: from blue to green the new flag is the switch, from green to blue the old one's end.
    pub async fn flip(&self, service: &ServiceName, to: Colour) -> Result<()> {
        let new = self.path(service, to);
        install::touch(&new).await?;
        install::remove(&self.path(service, to.other())).await
    }

    /// Make the last flips durable.
    pub async fn sync(&self) -> Result<()> {
        install::sync_directory(&self.directory.join("any")).await
    }

    /// The colour that is served: what the flags of `service` say, if they say anything.
    pub fn live(&self, service: &ServiceName) -> Option<Colour> {
        let is = |colour: &Colour| self.path(service, *colour).exists();
        Colour::BOTH.into_iter().rfind(is)
    }

    /// Make exactly the flags of `entries` exist. Files that are no flags are left alone.
    pub async fn agree(&self, entries: &Entries) -> Result<()> {
        install::directory(&self.directory).await?;
        let wanted = |service: &ServiceName| entries.get(service).and_then(|e| e.view.live);
        for name in install::names(&self.directory).await? {
            let Some((service, colour)) = parse(&name) else {
                continue;
            };
            if wanted(&service).is_none() {
                install::remove(&self.path(&service, colour)).await?;
            }
        }
        for (service, entry) in entries {
            if let Some(live) = entry.view.live
                && !self.is_exactly(service, live)
            {
                self.flip(service, live).await?;
            }
        }
        self.sync().await
    }

    /// Make a flag for each service that has none.
    pub async fn raise(&self, entries: &Entries) -> Result<()> {
        install::directory(&self.directory).await?;
        for (service, entry) in entries {
            if let Some(live) = entry.view.live
                && self.live(service).is_none()
            {
                self.flip(service, live).await?;
            }
        }
        Ok(())
    }

    fn is_exactly(&self, service: &ServiceName, live: Colour) -> bool {
        self.path(service, live).exists() && !self.path(service, live.other()).exists()
    }
}

/// `<service>.<colour>`
fn parse(name: &str) -> Option<(ServiceName, Colour)> {
    let (service, colour) = name.rsplit_once('.')?;
    Some((service.parse().ok()?, colour.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_flag_per_service() {
        let directory = tempfile::tempdir().unwrap();
        let flags = Flags::new(directory.path().to_owned());
        let books: ServiceName = "books".parse().unwrap();
        assert_eq!(flags.live(&books), None);
        flags.flip(&books, Colour::Green).await.unwrap();
        assert_eq!(flags.live(&books), Some(Colour::Green));
        flags.flip(&books, Colour::Blue).await.unwrap();
        assert_eq!(flags.live(&books), Some(Colour::Blue));
        assert_eq!(install::names(directory.path()).await.unwrap(), ["books.blue"]);
    }

    #[tokio::test]
    async fn flags_that_nobody_wants_go_and_other_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let flags = Flags::new(directory.path().to_owned());
        let gone: ServiceName = "gone".parse().unwrap();
        flags.flip(&gone, Colour::Blue).await.unwrap();
        std::fs::write(directory.path().join("readme.txt"), "").unwrap();
        flags.agree(&Entries::new()).await.unwrap();
        assert_eq!(install::names(directory.path()).await.unwrap(), ["readme.txt"]);
    }
}
