use crate::document::{At, Problems};
use crate::model::{ConfigMount, SecretMount};

use super::super::compose::FileUse;
use super::super::declared::{Declared, Section};

/// Readable by all: what compose gives when nothing is said.
const DEFAULT_MODE: u32 = 0o444;

/// Where Docker puts secrets.
const SECRETS: &str = "/run/secrets/";

pub(super) fn secrets(
    uses: &[FileUse],
    declared: &Declared<'_>,
    problems: &mut Problems,
) -> Vec<SecretMount> {
    let mut mounts: Vec<SecretMount> = Vec::new();
    for file in uses {
        let Some(name) = declared.resolve(Section::Secrets, &file.source, problems) else {
            continue;
        };
        let target = file.target.as_ref().unwrap_or(&file.source);
        let relative = target.strip_prefix(SECRETS).unwrap_or(target).to_owned();
        check_target(target, &relative, problems);
        if mounts.iter().any(|mount| mount.target == relative) {
            report_twin(target, problems);
        }
        let (uid, gid, mode) = ownership(file);
        mounts.push(SecretMount { name, target: relative, uid, gid, mode });
    }
    mounts
}

pub(super) fn configs(
    uses: &[FileUse],
    declared: &Declared<'_>,
    problems: &mut Problems,
) -> Vec<ConfigMount> {
    let mut mounts: Vec<ConfigMount> = Vec::new();
    for file in uses {
        let Some(name) = declared.resolve(Section::Configs, &file.source, problems) else {
            continue;
        };
        let target = file.target.as_ref().unwrap_or(&file.source);
        let absolute = format!("/{}", target.trim_start_matches('/'));
        check_target(target, &absolute, problems);
        if mounts.iter().any(|mount| mount.target == absolute) {
            report_twin(target, problems);
        }
        let (uid, gid, mode) = ownership(file);
        mounts.push(ConfigMount { name, target: absolute, uid, gid, mode });
    }
    mounts
}

fn check_target(target: &At<String>, path: &str, problems: &mut Problems) {
    let empty = path.is_empty() || path.ends_with('/');
    let escapes = path.split('/').any(|segment| segment == "..");
    if empty || escapes || path.contains(char::is_control) {
        let what = format!("`{}` is not a place for a file", target.value);
        problems.report(&target.place, what, "write a file name, or an absolute path");
    }
}

fn report_twin(target: &At<String>, problems: &mut Problems) {
    let what = format!("`{}` is the target of two files", target.value);
    problems.report(&target.place, what, "give one of them another `target`");
}

fn ownership(file: &FileUse) -> (String, String, u32) {
    let id = |id: Option<u32>| id.unwrap_or_default().to_string();
    let mode = file.mode.as_ref().map_or(DEFAULT_MODE, |mode| mode.0);
    (id(file.uid), id(file.gid), mode)
}
