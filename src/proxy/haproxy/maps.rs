//! The map of routes and live colours in a running process.

use std::collections::{BTreeMap, BTreeSet};

use super::sockets::{Process, Sockets, refused};
use crate::model::ServiceName;
use crate::proxy::error::{Error, Result};
use crate::proxy::map::LIVE;

/// Keys per `add map` payload: well below `tune.bufsize`, with long host names too.
const KEYS_AT_ONCE: usize = 20;

/// Make the map `file` of `process` equal to `lines`. One value that differs is set in place; more
/// are written as a new version that replaces the old one in one act.
pub(crate) async fn agree(
    sockets: &Sockets,
    process: &Process,
    file: &str,
    lines: &BTreeMap<String, String>,
) -> Result<()> {
    let now = read(sockets, process, file).await?;
    if now == *lines {
        return Ok(());
    }
    match difference(&now, lines).as_slice() {
        [Change::Set(key, value)] => {
            let command = format!("set map {file} {key} {value}");
            command_of(sockets, process, &command).await?;
        }
        [Change::Add(key, value)] => {
            let command = format!("add map {file} {key} {value}");
            command_of(sockets, process, &command).await?;
        }
        [Change::Remove(key)] => {
            let command = format!("del map {file} {key}");
            command_of(sockets, process, &command).await?;
        }
        _ => replace(sockets, process, file, lines).await?,
    }
    if read(sockets, process, file).await? == *lines {
        return Ok(());
    }
    Err(Error::Missing { what: format!("the routes of map `{file}`") })
}

/// Set the value of `key`, adding it where it is new, and read it back.
pub(crate) async fn set(
    sockets: &Sockets,
    process: &Process,
    file: &str,
    key: &str,
    value: &str,
) -> Result<()> {
    let set = format!("set map {file} {key} {value}");
    let get = format!("get map {file} {key}");
    let is_set = |answer: &str| answer.contains(&format!("value=\"{value}\""));
    let answer = sockets.ask_all(process, &[&set, &get]).await?;
    if is_set(&answer) {
        return Ok(());
    }
    if !answer.contains("not found") {
        return Err(refused(&set, &answer));
    }
    command_of(sockets, process, &format!("add map {file} {key} {value}")).await?;
    if is_set(&sockets.ask(process, &get).await?) {
        return Ok(());
    }
    Err(Error::Missing { what: format!("`{value}` for `{key}` in map `{file}`") })
}

/// `lines` for a process whose map says `now` and of whose backends only some `fit`: a service whose
/// live backend does not stays where it is.
pub(crate) fn fitting(
    lines: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
    fit: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    // A route of a service that is led to nowhere here stays with whoever has it.
    let is_led = |service: &str| {
        let live = format!("{LIVE}{service}");
        now.contains_key(&live) || lines.get(&live).is_none_or(|backend| fit.contains(backend))
    };
    let line = |(key, value): (&String, &String)| {
        let stays = if key.starts_with(LIVE) { !fit.contains(value) } else { !is_led(value) };
        let value = if stays { now.get(key)? } else { value };
        Some((key.clone(), value.clone()))
    };
    lines.iter().filter_map(line).collect()
}

/// Where `process` leads the public requests of `service`.
pub(crate) async fn live(
    sockets: &Sockets,
    process: &Process,
    file: &str,
    service: &ServiceName,
) -> Result<Option<String>> {
    let mut now = read(sockets, process, file).await?;
    Ok(now.remove(&format!("{LIVE}{service}")))
}

enum Change<'a> {
    Set(&'a str, &'a str),
    Add(&'a str, &'a str),
    Remove(&'a str),
}

fn difference<'a>(
    now: &'a BTreeMap<String, String>,
    wanted: &'a BTreeMap<String, String>,
) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    for (key, value) in wanted {
        match now.get(key) {
            Some(old) if old == value => {}
            Some(_) => changes.push(Change::Set(key, value)),
            None => changes.push(Change::Add(key, value)),
        }
    }
    let gone = now.keys().filter(|key| !wanted.contains_key(*key));
    changes.extend(gone.map(|key| Change::Remove(key)));
    changes
}

/// Prepare a version with all lines, see that none was lost, commit.
async fn replace(
    sockets: &Sockets,
    process: &Process,
    file: &str,
    lines: &BTreeMap<String, String>,
) -> Result<()> {
    let prepare = format!("prepare map {file}");
    let answer = sockets.ask(process, &prepare).await?;
    let version = answer.rsplit(':').next().map(str::trim);
    let version: u64 = version
        .and_then(|version| version.parse().ok())
        .ok_or_else(|| refused(&prepare, &answer))?;
    let lines: Vec<(&String, &String)> = lines.iter().collect();
    for some in lines.chunks(KEYS_AT_ONCE) {
        let lines: Vec<String> =
            some.iter().map(|(key, value)| format!("{key} {value}\n")).collect();
        let command = format!("add map @{version} {file} <<\n{}", lines.concat());
        command_of(sockets, process, &command).await?;
    }
    let staged = sockets.ask(process, &format!("show map @{version} {file}")).await?;
    if parse(&staged).len() != lines.len() {
        return Err(Error::Missing {
            what: format!("all lines of map `{file}`, version {version}"),
        });
    }
    command_of(sockets, process, &format!("commit map @{version} {file}")).await
}

async fn command_of(sockets: &Sockets, process: &Process, command: &str) -> Result<()> {
    let answer = sockets.ask(process, command).await?;
    if answer.trim().is_empty() {
        return Ok(());
    }
    Err(refused(command, &answer))
}

/// The map `file` as `process` has it.
pub(crate) async fn read(
    sockets: &Sockets,
    process: &Process,
    file: &str,
) -> Result<BTreeMap<String, String>> {
    let command = format!("show map {file}");
    let answer = sockets.ask(process, &command).await?;
    if answer.starts_with("Unknown map") {
        return Err(refused(&command, &answer));
    }
    Ok(parse(&answer))
}

/// Lines `<pointer> <key> <value>`.
fn parse(answer: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let mut fields = line.split_whitespace();
        fields.next()?;
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    answer.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_whose_backend_does_not_fit_stays_where_it_is() {
        let map = |lines: &[(&str, &str)]| -> BTreeMap<String, String> {
            lines.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let fit = BTreeSet::from(["b-green".to_owned()]);
        let now = map(&[("=a", "a-blue"), ("=b", "b-blue"), ("=gone", "gone-blue")]);
        let wanted = [("=a", "a-green"), ("=b", "b-green"), ("=new", "new-blue"), ("http:h/", "a")];
        let expected = map(&[("=a", "a-blue"), ("=b", "b-green"), ("http:h/", "a")]);
        assert_eq!(fitting(&map(&wanted), &now, &fit), expected);
    }
}
