use std::collections::BTreeMap;
use std::io::ErrorKind;

use crate::document::Problems;

use super::super::compose::{EnvFile, Service};
use super::super::dotenv;
use super::Surroundings;

/// Variables that tell an instance who it is; Verdigris sets them.
const OURS: [&str; 3] = ["VERDIGRIS_SERVICE", "VERDIGRIS_COLOUR", "VERDIGRIS_RELEASE"];

/// The environment: env files in their order, then `environment` over them. A name without a value
/// takes its value from the deploying environment, and is left out when it has none there.
pub(super) fn environment(
    service: &Service,
    around: &Surroundings<'_>,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    let mut set = |name: &str, value: Option<&str>, place, problems: &mut Problems| {
        if OURS.contains(&name) {
            let what = format!("`{name}` is set by Verdigris itself");
            problems.report(place, what, "choose another name");
        }
        match value.or_else(|| around.variables.get(name)) {
            Some(value) => environment.insert(name.to_owned(), value.to_owned()),
            None => environment.remove(name),
        };
    };
    for file in &service.env_file.0 {
        for (name, value) in lines(file, around, problems) {
            set(&name, value.as_deref(), &file.path.place, problems);
        }
    }
    for pair in &service.environment.0 {
        set(&pair.key, pair.value.as_deref(), &pair.key.place, problems);
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
