use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::document::{LoadError, Place, Problems, read_text};
use crate::model::{Draft, ImageRef};

use super::file::drafts;

/// The text of a stack file, where it came from, and where its relative paths begin.
#[derive(Debug, Clone)]
pub struct Source {
    /// As the user gave it; stands before every problem.
    pub name: String,
    /// The YAML.
    pub text: String,
    /// Directory of `.env` and of `env_file`s.
    pub base: PathBuf,
}

impl Source {
    /// Reads the file at `path`; `-` is the standard input, whose paths begin in the working
    /// directory.
    pub fn read(path: &Path) -> Result<Self, LoadError> {
        let text = read_text("stack file", path)?;
        let base = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(Self { name: path.display().to_string(), text, base })
    }
}

/// What else decides about the drafts.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only this service; all that have an `x-verdigris` block when none is named.
    pub service: Option<String>,
    /// Replaces the image of the service; only sensible when a single one is loaded.
    pub image: Option<ImageRef>,
    /// Variables for `${…}`, over those of the `.env` file.
    pub environment: BTreeMap<String, String>,
}

impl Options {
    /// With the environment of this process. Variables that are not UTF-8 are left out.
    #[must_use]
    pub fn from_process() -> Self {
        let pairs = std::env::vars_os();
        let texts = pairs.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Self { environment: texts.collect(), ..Self::default() }
    }
}

/// The drafts of the services that a stack file deploys blue-green, in its order; at least one.
pub fn load(source: &Source, options: &Options) -> Result<Vec<Draft>, LoadError> {
    let mut problems = Problems::default();
    let drafts = drafts(source, options, &mut problems);
    if drafts.len() > 1 && options.image.is_some() {
        report_several(source, &drafts, &mut problems);
    }
    Ok(problems.or(Some(drafts))?)
}

/// The draft of the named service, or of the only one.
pub fn load_one(source: &Source, options: &Options) -> Result<Draft, LoadError> {
    let mut problems = Problems::default();
    let mut drafts = drafts(source, options, &mut problems);
    if drafts.len() > 1 {
        report_several(source, &drafts, &mut problems);
    }
    Ok(problems.or(drafts.pop())?)
}

fn report_several(source: &Source, drafts: &[Draft], problems: &mut Problems) {
    let names: Vec<_> = drafts.iter().map(|draft| format!("`{}`", draft.service)).collect();
    let place = Place::start(&source.name).below("services");
    let what = format!("there are several services to deploy: {}", names.join(", "));
    problems.report(&place, what, "name the one that is meant");
}
