use std::collections::BTreeMap;
use std::io::ErrorKind;

use crate::document::Problems;

use super::super::compose::{EnvFile, Service};
use super::super::dotenv;
use super::Surroundings;

/// The environment: env files in their order, then `environment` over them. A name without a value
/// takes its value from the deploying environment, and is left out when it has none there.
pub(super) fn environment(
    service: &Service,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    let files = service.env_file.0.iter();
    let from_files = files.flat_map(|file| lines(file, around, problems)).collect::<Vec<_>>();
    let own = service.environment.0.iter();
    let own = own.map(|pair| (pair.key.value.clone(), pair.value.clone()));
    for (name, value) in from_files.into_iter().chain(own) {
        match value.or_else(|| around.variables.get(&name).map(str::to_owned)) {
            Some(value) => environment.insert(name, value),
            None => environment.remove(&name),
        };
    }
    environment
}

fn lines(file: &EnvFile, around: &Surroundings<'_>, problems: &mut Problems) -> Vec<dotenv::Line> {
    let path = around.base.join(&file.path.value);
    let name = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) if file.raw => dotenv::parse_raw(&text, &name, problems),
        Ok(text) => dotenv::parse(&text, &name, around.variables, problems),
        Err(error) if error.kind() == ErrorKind::NotFound && !file.required => Vec::new(),
        Err(error) => {
            problems.report(
                &file.path.place,
                format!("cannot read `{name}`: {error}"),
                "create it, or say `required: false` if it may be missing",
            );
            Vec::new()
        }
    }
}
