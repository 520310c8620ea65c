//! What of a service's record is not as observed, and what it should be. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::deploy::ledger::replace;
use crate::model::{Colour, Registration, ServiceRecord, Standing};

/// What was observed of a service in the Swarm.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// Instances that run, by colour, whatever their standing says. A colour that is absent has no
    /// Swarm service.
    pub colours: BTreeMap<Colour, Vec<Registration>>,
}

impl Seen {
    /// At least one instance of `colour` runs.
    #[must_use]
    pub fn serves(&self, colour: Colour) -> bool {
        self.colours.get(&colour).is_some_and(|entries| !entries.is_empty())
    }
}

/// What is not as it should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Findings {
    /// The record as it should be, when it differs.
    pub record: Option<ServiceRecord>,
    /// Colours whose instances the proxies have to be told.
    pub refresh: BTreeSet<Colour>,
    /// What was found and is mended by these, one line each.
    pub drift: Vec<String>,
    /// What was found and cannot be mended, one line each.
    pub standing: Vec<String>,
}

impl Findings {
    /// Nothing is to be done about them.
    #[must_use]
    pub fn mends_nothing(&self) -> bool {
        self.record.is_none() && self.refresh.is_empty()
    }

    /// What cannot be mended, in one line.
    #[must_use]
    pub fn stands(&self) -> Option<String> {
        (!self.standing.is_empty()).then(|| self.standing.join("; "))
    }
}

/// Compare `record` with what was `seen`. `owned` are the colours that a deployment under way is busy
/// with: theirs is the last word on them.
#[must_use]
pub fn compare(record: &ServiceRecord, seen: &Seen, owned: &BTreeSet<Colour>) -> Findings {
    let mut findings = Findings::default();
    let mut mended = record.clone();
    for colour in Colour::BOTH.into_iter().filter(|colour| !owned.contains(colour)) {
        let had: Vec<Registration> = record.of(colour).cloned().collect();
        let now = observed(record, seen, colour);
        if had == now {
            continue;
        }
        if now.is_empty() && is_live(record, colour) {
            findings.standing.push(format!(
                "no instance of the live colour {colour} runs: its last known ones are kept"
            ));
            continue;
        }
        findings.drift.push(difference(colour, &had, &now));
        findings.refresh.insert(colour);
        replace(&mut mended, colour, now);
    }
    if mended != *record {
        findings.record = Some(mended);
    }
    findings
}

fn is_live(record: &ServiceRecord, colour: Colour) -> bool {
    record.colour == Some(colour)
        || record.route.as_ref().is_some_and(|route| route.weights.get(&colour) > Some(&0))
}

/// The entries that `colour` should have, sorted by task as a record has them.
fn observed(record: &ServiceRecord, seen: &Seen, colour: Colour) -> Vec<Registration> {
    let standing = if record.colour == Some(colour) { Standing::Live } else { Standing::Idle };
    let mut entries = seen.colours.get(&colour).cloned().unwrap_or_default();
    for entry in &mut entries {
        entry.standing = standing;
    }
    entries.sort_by(|a, b| a.instance.task.cmp(&b.instance.task));
    entries
}

fn difference(colour: Colour, had: &[Registration], now: &[Registration]) -> String {
    let tasks = |entries: &[Registration]| -> BTreeSet<String> {
        entries.iter().map(|entry| entry.instance.address.to_string()).collect()
    };
    let changed_image = changed_image(had, now);
    let (had, now) = (tasks(had), tasks(now));
    let gone: Vec<&str> = had.difference(&now).map(String::as_str).collect();
    let come: Vec<&str> = now.difference(&had).map(String::as_str).collect();
    let mut parts = Vec::new();
    if !gone.is_empty() {
        parts.push(format!("{} gone", gone.join(", ")));
    }
    if !come.is_empty() {
        parts.push(format!("{} come", come.join(", ")));
    }
    if parts.is_empty() {
        parts.push("recorded wrongly".to_owned());
    }
    // The label of a release stays when its image is changed by hand.
    if let Some((was, entry)) = changed_image {
        parts.push(format!(
            "under the label of release {} they run {} instead of {was}",
            entry.release, entry.image
        ));
    }
    format!("instances of {colour}: {}", parts.join("; "))
}

/// The image that was recorded of a release, and an instance that runs another one under its name.
fn changed_image<'a>(
    had: &'a [Registration],
    now: &'a [Registration],
) -> Option<(&'a str, &'a Registration)> {
    let was = |entry: &Registration| {
        let same = had.iter().find(|known| known.release == entry.release)?;
        (same.image != entry.image).then_some(same.image.as_str())
    };
    now.iter().find_map(|entry| Some((was(entry)?, entry)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Instance, ReleaseId};

    fn entry(task: &str, colour: Colour, standing: Standing) -> Registration {
        let port = 30_000 + u16::from(task.as_bytes()[0]);
        Registration {
            instance: Instance {
                task: task.to_owned(),
                node: "n1".to_owned(),
                address: ([10, 0, 0, 1], port).into(),
            },
            colour,
            standing,
            release: ReleaseId::from("r1".to_owned()),
            image: "books@sha256:1".to_owned(),
        }
    }

    fn record(entries: &[Registration]) -> ServiceRecord {
        let instances =
            entries.iter().map(|entry| (entry.instance.task.clone(), entry.clone())).collect();
        ServiceRecord { instances, colour: Some(Colour::Blue), route: None }
    }

    fn seen(colour: Colour, entries: &[Registration]) -> Seen {
        Seen { colours: BTreeMap::from([(colour, entries.to_vec())]) }
    }

    #[test]
    fn a_task_that_moved_is_followed() {
        let old = record(&[entry("a", Colour::Blue, Standing::Live)]);
        let now = seen(Colour::Blue, &[entry("b", Colour::Blue, Standing::Idle)]);
        let findings = compare(&old, &now, &BTreeSet::new());
        let mended = findings.record.unwrap();
        assert_eq!(mended.instances["b"].standing, Standing::Live);
        assert!(!mended.instances.contains_key("a"));
        assert_eq!(findings.refresh, BTreeSet::from([Colour::Blue]));
    }

    #[test]
    fn another_image_under_the_label_of_a_release_is_told() {
        let old = record(&[entry("a", Colour::Blue, Standing::Live)]);
        let mut edited = entry("b", Colour::Blue, Standing::Idle);
        edited.image = "books@sha256:2".to_owned();
        let findings = compare(&old, &seen(Colour::Blue, &[edited]), &BTreeSet::new());
        let told = "release r1 they run books@sha256:2 instead of books@sha256:1";
        assert!(findings.drift[0].contains(told), "{:?}", findings.drift);
    }

    #[test]
    fn the_live_colour_is_never_emptied() {
        let old = record(&[entry("a", Colour::Blue, Standing::Live)]);
        let findings = compare(&old, &Seen::default(), &BTreeSet::new());
        assert_eq!((findings.record, findings.refresh), (None, BTreeSet::new()));
        assert_eq!((findings.drift.len(), findings.standing.len()), (0, 1));
    }

    #[test]
    fn a_deployments_colour_is_left_alone() {
        let old = record(&[entry("a", Colour::Green, Standing::Idle)]);
        let findings = compare(&old, &Seen::default(), &BTreeSet::from([Colour::Green]));
        assert_eq!(findings, Findings::default());
    }

    #[test]
    fn what_is_as_observed_is_not_touched() {
        let old = record(&[entry("a", Colour::Blue, Standing::Live)]);
        let now = seen(Colour::Blue, &[entry("a", Colour::Blue, Standing::Idle)]);
        assert_eq!(compare(&old, &now, &BTreeSet::new()), Findings::default());
    }
}
