//! Flag files: which colour is live, in the eyes of each worker.
//!
//! For each service there is one flag per roster that a worker may know it by. A flip moves those that
//! have the instances of the new colour; a worker that has others stays with the colour that it knows,
//! for the few requests that may still come to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{Colour, ServiceName};
use crate::proxy::error::Result;
use crate::proxy::install;
use crate::proxy::names::{FlagName, flag};
use crate::proxy::roster::Roster;
use crate::proxy::routing::{Entries, Entry};

/// The rosters that workers may know each service by.
type Rosters = BTreeMap<ServiceName, BTreeSet<Roster>>;

/// The directory of flags.
#[derive(Debug, Clone)]
pub(crate) struct Flags {
    directory: PathBuf,
    rosters: Arc<Mutex<Rosters>>,
}

impl Flags {
    /// The flags in `directory`, which is made where there is none.
    pub async fn open(directory: PathBuf) -> Result<Self> {
        install::directory(&directory).await?;
        let flags = Self { directory, rosters: Arc::default() };
        for (service, roster, _) in flags.found().await? {
            flags.rosters().entry(service).or_default().insert(roster);
        }
        Ok(flags)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Make `to` live for all workers that have its instances as `entry` has them.
    pub async fn flip(&self, entry: &Entry, to: Colour) -> Result<()> {
        for roster in self.followers(entry, to) {
            self.set(&entry.view.service, roster, to).await?;
        }
        Ok(())
    }

    /// Make the last flips durable.
    pub async fn sync(&self) -> Result<()> {
        install::sync_directory(&self.directory.join("any")).await
    }

    /// The colour that workers serve who know the service as `entry` has it, if a flag says so.
    pub fn live(&self, entry: &Entry) -> Option<Colour> {
        self.said(&entry.view.service, Roster::of(entry))
    }

    /// Whether workers of some roster serve `colour` of `service`.
    pub fn lead_to(&self, service: &ServiceName, colour: Colour) -> bool {
        let known = self.rosters().get(service).cloned().unwrap_or_default();
        known.into_iter().any(|roster| self.said(service, roster) == Some(colour))
    }

    /// Make the flags say what `entries` say: to each service that is live its own, to others none.
    /// Files that are no flags are left alone.
    pub async fn agree(&self, entries: &Entries) -> Result<()> {
        install::directory(&self.directory).await?;
        let lives = |service: &ServiceName| {
            entries.get(service).is_some_and(|entry| entry.view.live.is_some())
        };
        for (service, roster, colour) in self.found().await? {
            if !lives(&service) {
                install::remove(&self.path(&service, roster, colour)).await?;
            }
        }
        self.rosters().retain(|service, _| lives(service));
        for entry in entries.values() {
            let Some(live) = entry.view.live else {
                continue;
            };
            for roster in self.followers(entry, live) {
                self.assure(&entry.view.service, roster, live).await?;
            }
        }
        self.sync().await
    }

    /// Workers know the services by the rosters of `entries`.
    pub fn know(&self, entries: &Entries) {
        let mut rosters = self.rosters();
        for (service, entry) in entries {
            rosters.entry(service.clone()).or_default().insert(Roster::of(entry));
        }
    }

    /// Make the flags that workers will test who read `entries`.
    pub async fn raise(&self, entries: &Entries) -> Result<()> {
        install::directory(&self.directory).await?;
        self.know(entries);
        for (service, entry) in entries {
            if let Some(live) = entry.view.live {
                self.assure(service, Roster::of(entry), live).await?;
            }
        }
        Ok(())
    }

    /// Remove the flags that only workers tested who have gone: all but those of `known`.
    pub async fn forget_all_but(&self, known: &[&Entries]) -> Result<()> {
        let is_known = |service: &ServiceName, roster: &Roster| {
            let mut entries = known.iter().filter_map(|entries| entries.get(service));
            entries.any(|entry| Roster::of(entry) == *roster)
        };
        let mut gone = Vec::new();
        for (service, rosters) in self.rosters().iter_mut() {
            rosters.retain(|roster| {
                let keep = is_known(service, roster);
                if !keep {
                    gone.push((service.clone(), *roster));
                }
                keep
            });
        }
        for (service, roster) in gone {
            for colour in Colour::BOTH {
                install::remove(&self.path(&service, roster, colour)).await?;
            }
        }
        Ok(())
    }

    /// The rosters that have `colour` as `entry` has it, its own included.
    fn followers(&self, entry: &Entry, colour: Colour) -> BTreeSet<Roster> {
        let own = Roster::of(entry);
        let mut rosters = self.rosters();
        let known = rosters.entry(entry.view.service.clone()).or_default();
        known.insert(own);
        known.iter().copied().filter(|roster| roster.agrees(own, colour)).collect()
    }

    /// The configuration tests for blue, then for green, so green wins where both are: from blue to
    /// green the new flag is the switch, from green to blue the old one's end.
    async fn set(&self, service: &ServiceName, roster: Roster, to: Colour) -> Result<()> {
        let new = self.path(service, roster, to);
        let is_new = !new.exists();
        install::touch(&new).await?;
        let ended = install::remove(&self.path(service, roster, to.other())).await;
        if ended.is_err() && is_new {
            // What is told to have failed has moved nobody.
            install::remove(&new).await?;
        }
        ended
    }

    async fn assure(&self, service: &ServiceName, roster: Roster, live: Colour) -> Result<()> {
        let is = |colour| self.path(service, roster, colour).exists();
        if is(live) && !is(live.other()) {
            return Ok(());
        }
        self.set(service, roster, live).await
    }

    fn said(&self, service: &ServiceName, roster: Roster) -> Option<Colour> {
        let is = |colour: &Colour| self.path(service, roster, *colour).exists();
        Colour::BOTH.into_iter().rfind(is)
    }

    fn path(&self, service: &ServiceName, roster: Roster, colour: Colour) -> PathBuf {
        self.directory.join(FlagName { service, roster, colour }.to_string())
    }

    async fn found(&self) -> Result<Vec<(ServiceName, Roster, Colour)>> {
        let names = install::names(&self.directory).await?;
        Ok(names.iter().filter_map(|name| flag(name)).collect())
    }

    fn rosters(&self) -> MutexGuard<'_, Rosters> {
        self.rosters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Backend;
    use crate::proxy::routing::tests::entries;

    async fn flags(directory: &tempfile::TempDir) -> Flags {
        Flags::open(directory.path().to_owned()).await.unwrap()
    }

    /// `books` with an instance at a port for each colour, nothing where it is 0.
    fn books(blue: u16, green: u16) -> Entry {
        let entries = entries(&[("books", "/", None)]);
        let mut entry = Entry::clone(&entries[&"books".parse().unwrap()]);
        for (colour, port) in [(Colour::Blue, blue), (Colour::Green, green)] {
            let backend = Backend { task: "t".into(), address: ([10, 0, 0, 1], port).into() };
            let list = if port == 0 { Vec::new() } else { vec![backend] };
            entry.view.backends.insert(colour, list);
        }
        entry
    }

    fn only(entry: &Entry) -> Entries {
        Entries::from([(entry.view.service.clone(), Arc::new(entry.clone()))])
    }

    fn lives(mut entry: Entry, live: Colour) -> Entry {
        entry.view.live = Some(live);
        entry
    }

    #[tokio::test]
    async fn one_flag_per_service() {
        let directory = tempfile::tempdir().unwrap();
        let flags = flags(&directory).await;
        let books = books(1, 2);
        assert_eq!(flags.live(&books), None);
        for colour in [Colour::Green, Colour::Blue, Colour::Green] {
            flags.flip(&books, colour).await.unwrap();
            assert_eq!(flags.live(&books), Some(colour));
            assert_eq!(install::names(directory.path()).await.unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_flip_that_fails_moves_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let flags = flags(&directory).await;
        let books = books(1, 2);
        flags.flip(&books, Colour::Blue).await.unwrap();
        let [blue] = &install::names(directory.path()).await.unwrap()[..] else { panic!() };
        // A flag that cannot be removed.
        std::fs::remove_file(directory.path().join(blue)).unwrap();
        std::fs::create_dir(directory.path().join(blue)).unwrap();
        flags.flip(&books, Colour::Green).await.unwrap_err();
        assert_eq!(flags.live(&books), Some(Colour::Blue));
    }

    #[tokio::test]
    async fn workers_that_have_other_instances_stay_where_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let flags = flags(&directory).await;
        let (was, is) = (lives(books(1, 2), Colour::Blue), lives(books(1, 3), Colour::Blue));
        flags.raise(&only(&was)).await.unwrap();
        flags.raise(&only(&is)).await.unwrap();
        flags.flip(&is, Colour::Green).await.unwrap();
        assert_eq!((flags.live(&is), flags.live(&was)), (Some(Colour::Green), Some(Colour::Blue)));
        assert!(flags.lead_to(&is.view.service, Colour::Blue), "those of before");
        let is = lives(is, Colour::Green);
        flags.agree(&only(&is)).await.unwrap();
        assert_eq!((flags.live(&is), flags.live(&was)), (Some(Colour::Green), Some(Colour::Blue)));
        flags.forget_all_but(&[&only(&is)]).await.unwrap();
        assert_eq!((flags.live(&is), flags.live(&was)), (Some(Colour::Green), None));
        assert!(!flags.lead_to(&is.view.service, Colour::Blue));
    }

    #[tokio::test]
    async fn workers_that_have_the_instances_follow() {
        let directory = tempfile::tempdir().unwrap();
        let flags = flags(&directory).await;
        let (was, is) = (lives(books(1, 2), Colour::Blue), lives(books(9, 2), Colour::Blue));
        flags.raise(&only(&was)).await.unwrap();
        // Who takes up after a restart knows of them as well.
        let flags = self::flags(&directory).await;
        flags.flip(&is, Colour::Green).await.unwrap();
        assert_eq!((flags.live(&is), flags.live(&was)), (Some(Colour::Green), Some(Colour::Green)));
        assert!(!flags.lead_to(&is.view.service, Colour::Blue));
    }

    #[tokio::test]
    async fn a_flag_that_is_lost_comes_back_to_every_roster() {
        let directory = tempfile::tempdir().unwrap();
        let flags = flags(&directory).await;
        let (loaded, file) = (lives(books(1, 2), Colour::Green), lives(books(0, 2), Colour::Green));
        flags.know(&only(&loaded));
        flags.agree(&only(&file)).await.unwrap();
        assert_eq!(flags.live(&loaded), Some(Colour::Green));
        assert_eq!(flags.live(&file), Some(Colour::Green));
    }

    #[tokio::test]
    async fn flags_that_nobody_wants_go_and_other_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let flags = flags(&directory).await;
        flags.flip(&books(1, 2), Colour::Blue).await.unwrap();
        std::fs::write(directory.path().join("readme.txt"), "").unwrap();
        flags.agree(&Entries::new()).await.unwrap();
        assert_eq!(install::names(directory.path()).await.unwrap(), ["readme.txt"]);
    }
}
