//! What a keeper would do first, tried without one: render, and let the proxy's own checker look.

use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use crate::proxy::apart::apart;
use crate::proxy::certificates::Certificates;
use crate::proxy::check::samples;
use crate::proxy::command;
use crate::proxy::error::{Error, Result};
use crate::proxy::page::Sources;
use crate::proxy::probe;
use crate::proxy::render::{Rendition, render};
use crate::proxy::routing::Entries;
use crate::proxy::settings::{Kind, Settings};
use crate::proxy::state::Store;
use crate::proxy::template::Source;
use crate::proxy::user;

/// Let the checker of the proxy that `settings` describe look at what would be rendered: for the services
/// that a keeper remembers, or else for made-up ones. Nothing of the proxy's is touched: what the checker
/// reads and writes are files of its own beside it, which are gone afterwards.
pub async fn rehearse(settings: &Settings) -> Result<()> {
    let problems = settings.problems();
    if !problems.is_empty() {
        return Err(Error::Settings { proxy: settings.name.clone(), problems });
    }
    let Remembered { entries, secret } = remembered(settings).await?;
    let stand_in = StandIn::of(settings)?;
    let (rendered, for_page) = (stand_in.settings.clone(), secret.clone());
    let (source, rendition) = apart(move || rendition(&rendered, &entries, &for_page)).await??;
    stand_in.write(&rendition)?;
    let file = stand_in.config.path();
    let checked = command::check(&settings.check, file).await;
    checked.map_err(|error| {
        let traced = error.traced(&source, file, &rendition.text);
        stand_in.unmasked(traced, settings).without(&secret)
    })
}

/// What a keeper of the proxy left.
struct Remembered {
    entries: Entries,
    secret: String,
}

async fn remembered(settings: &Settings) -> Result<Remembered> {
    let left = Store::new(&settings.state, &settings.name).load().await?;
    let fresh = || Remembered { entries: samples(), secret: "secret".to_owned() };
    Ok(left.map_or_else(fresh, |state| Remembered { entries: state.entries, secret: state.probe }))
}

fn rendition(settings: &Settings, entries: &Entries, secret: &str) -> Result<(Source, Rendition)> {
    let source = Source::load(settings)?;
    let template = source.parse().map_err(Error::Template)?;
    let certificates = match &settings.certificates {
        Some(directory) => Certificates::of(directory).map_err(failed("read", directory))?,
        None => Certificates::default(),
    };
    let sources = Sources {
        settings,
        answers: None,
        probe: (probe::HEADER, secret),
        certificates: &certificates,
    };
    let rendition = render(&template, &sources, entries).map_err(Error::Template)?;
    Ok((source, rendition))
}

/// Files that stand in for those of the proxy: beside them, so that what is included relative to them is
/// found, and under names that no keeper uses.
struct StandIn {
    /// With the map and the pid file that stand in.
    settings: Settings,
    config: NamedTempFile,
    map: Option<NamedTempFile>,
    /// nginx writes it also when it only checks.
    _pid_file: Option<NamedTempFile>,
}

impl StandIn {
    fn of(settings: &Settings) -> Result<Self> {
        let config = beside(&settings.output)?;
        // The map may be missing still, and its directory; the keeper makes both.
        let map = match &settings.map {
            Some(_) => Some(beside(&settings.output)?),
            None => None,
        };
        // A directory that is missing is for the checker to say.
        let of_nginx = settings.pid_file.as_deref().filter(|_| settings.kind == Kind::Nginx);
        let pid_file = of_nginx.and_then(|path| beside(path).ok());
        let path = |file: &NamedTempFile| file.path().to_owned();
        let mut standing_in = settings.clone();
        standing_in.map = map.as_ref().map(path);
        if let Some(file) = &pid_file {
            standing_in.pid_file = Some(path(file));
        }
        let keeper_s = || user::of(settings.kind, settings.pid_file.as_deref());
        standing_in.user = standing_in.user.or_else(keeper_s);
        Ok(Self { settings: standing_in, config, map, _pid_file: pid_file })
    }

    /// `error` with the names of the proxy's files in place of those that stand in for them.
    fn unmasked(&self, mut error: Error, of: &Settings) -> Error {
        let files = [(&self.settings.map, &of.map), (&self.settings.pid_file, &of.pid_file)];
        if let Error::Refused { words, .. } = &mut error {
            for (mask, file) in files {
                if let (Some(mask), Some(file)) = (mask, file) {
                    let (mask, file) = (mask.display().to_string(), file.display().to_string());
                    words.iter_mut().for_each(|word| *word = word.replace(&mask, &file));
                }
            }
        }
        error
    }

    fn write(&self, rendition: &Rendition) -> Result<()> {
        write(&self.config, &rendition.text)?;
        match (&self.map, &rendition.map) {
            (Some(file), Some(text)) => write(file, text),
            _ => Ok(()),
        }
    }
}

/// A file for nobody else to read: a configuration holds the secret of the probes.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let file = Builder::new().prefix(".").suffix(".rehearsed").tempfile_in(directory);
    file.map_err(failed("write into", directory))
}

fn write(file: &NamedTempFile, text: &str) -> Result<()> {
    file.as_file().write_all(text.as_bytes()).map_err(failed("write", file.path()))
}

fn failed(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::File { act, path, source }
}
