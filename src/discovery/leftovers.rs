//! What is left of deployments that nobody owns any more. Pure, but for the time that passes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::deploy::ports::SwarmSnapshot;
use crate::deploy::record::{Journalled, Prepared, Record};
use crate::model::{Colour, Route, ServiceRecord, labels};

/// At most so many colours that nobody owns are removed …
///
/// Only these are counted, because only these are inferred to be of no use. What a stack file keeps for a
/// time is known to be what its deployment retired, and is asked to go then; a test container is known to
/// be of a deployment that has ended, and nobody is led to it; entries in the registry only follow what
/// runs, and those of a live colour are never taken out without others in their place.
const MOST: usize = 5;

/// … within this time: whoever finds more is rather mistaken than right.
const WITHIN: Duration = Duration::from_secs(3600);

/// What a colour beside the live one is, while no deployment is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spare {
    /// What the last commit has retired and keeps for a rollback.
    Kept(Colour),
    /// Neither live nor kept.
    Unowned(Colour),
    /// It is not clear which of the two is live.
    Unclear,
}

/// What the colour that is not live is; none where there are not two, or another daemon committed last.
/// `led` are the colours that proxies lead the public to, `last` is what was committed last, if that is
/// known. Where these do not agree on what is live, nothing may go.
#[must_use]
pub fn spare(
    record: &ServiceRecord,
    led: &BTreeSet<Colour>,
    last: Option<&Prepared>,
    colours: &BTreeMap<Colour, SwarmSnapshot>,
) -> Option<Spare> {
    let live = record.colour?;
    let idle = live.other();
    // Without the live colour there, the other may be all that the service has.
    let (snapshot, _) = (colours.get(&idle)?, colours.get(&live)?);
    let agreed = led.iter().all(|colour| *colour == live)
        && record.route.as_ref().and_then(Route::live).is_none_or(|colour| colour == live);
    if !agreed {
        return Some(Spare::Unclear);
    }
    if last.is_some_and(|last| last.colour != live) {
        return None;
    }
    let kept = last.is_some_and(|last| keeps(last, idle, snapshot));
    Some(if kept { Spare::Kept(idle) } else { Spare::Unowned(idle) })
}

/// Whose a colour is, by the journal of the deployment that its label names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A deployment of this daemon that has not ended.
    UnderWay,
    /// One that has ended: what it left is this daemon's to remove.
    Ended,
    /// One that this daemon knows nothing of: another daemon's, or of before the journal was lost.
    Unknown,
}

/// The owner that a deployment's `journal` tells.
#[must_use]
pub fn owner(journal: &[Journalled]) -> Owner {
    match journal.last().map(|last| &last.record) {
        None => Owner::Unknown,
        Some(Record::Ended { .. }) => Owner::Ended,
        Some(_) => Owner::UnderWay,
    }
}

/// `last` keeps `colour` for a rollback, and what is there is what it has retired: the same release,
/// made by the same deployment. Anything else there came later.
fn keeps(last: &Prepared, colour: Colour, now: &SwarmSnapshot) -> bool {
    let retired = last.before.swarm.get(&colour).and_then(Option::as_ref);
    let same = retired.is_some_and(|retired| {
        let made = |by: &SwarmSnapshot| by.label(labels::DEPLOYMENT).map(str::to_owned);
        retired.release() == now.release() && made(retired) == made(now)
    });
    same && last.live == Some(colour) && last.release.policy.retain.releases > 0
}

/// How much may be removed still.
#[derive(Debug, Default)]
pub struct Allowance {
    removed: VecDeque<Instant>,
}

impl Allowance {
    /// Take one removal out of it; the error says why not.
    pub fn take(&mut self, now: Instant) -> Result<(), String> {
        while self.removed.front().is_some_and(|then| now.duration_since(*then) >= WITHIN) {
            self.removed.pop_front();
        }
        if self.removed.len() >= MOST {
            let within = humantime::format_duration(WITHIN);
            return Err(format!("{MOST} colours were removed within {within}, which is the limit"));
        }
        self.removed.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::deploy::fixture;
    use crate::model;

    fn colours(there: &[Colour]) -> BTreeMap<Colour, SwarmSnapshot> {
        let snapshot = || SwarmSnapshot { name: "books".to_owned(), spec: Value::Null };
        there.iter().map(|colour| (*colour, snapshot())).collect()
    }

    #[test]
    fn the_owner_is_the_deployment_whose_journal_is_known() {
        let entry = |record| Journalled { seq: 0, at: jiff::Timestamp::UNIX_EPOCH, record };
        let began = entry(Record::Began { step: crate::model::Step::Start });
        let ended = entry(Record::Ended { outcome: crate::model::Outcome::Committed });
        assert_eq!(owner(&[]), Owner::Unknown);
        assert_eq!(owner(std::slice::from_ref(&began)), Owner::UnderWay);
        assert_eq!(owner(&[began, ended]), Owner::Ended);
    }

    fn live(colour: Colour) -> ServiceRecord {
        ServiceRecord { colour: Some(colour), ..ServiceRecord::default() }
    }

    #[test]
    fn the_colour_that_is_not_live_is_unowned() {
        let led = BTreeSet::from([Colour::Blue]);
        let found = |there: &[Colour]| spare(&live(Colour::Blue), &led, None, &colours(there));
        assert_eq!(found(&Colour::BOTH), Some(Spare::Unowned(Colour::Green)));
        assert_eq!(found(&[Colour::Blue]), None);
        assert_eq!(found(&[Colour::Green]), None, "it is all that there is");
    }

    #[test]
    fn nothing_may_go_where_it_is_not_clear_what_is_live() {
        let both = colours(&Colour::BOTH);
        let led = BTreeSet::from([Colour::Green]);
        assert_eq!(spare(&live(Colour::Blue), &led, None, &both), Some(Spare::Unclear));
        let led = BTreeSet::new();
        assert_eq!(spare(&ServiceRecord::default(), &led, None, &both), None);
        let route = Route {
            gives_up: None,
            generation: 1,
            rule: None,
            weights: BTreeMap::from([(Colour::Green, 100)]),
            releases: BTreeMap::new(),
        };
        let record = ServiceRecord { route: Some(route), ..live(Colour::Blue) };
        assert_eq!(spare(&record, &led, None, &both), Some(Spare::Unclear));
    }

    #[test]
    fn only_what_the_last_commit_retired_is_kept() {
        let made_by = |deployment: &str| SwarmSnapshot {
            name: "books-blue".to_owned(),
            spec: json!({ "Labels": { labels::RELEASE: "1", labels::DEPLOYMENT: deployment } }),
        };
        let mut last = fixture::prepared(model::fixture::draft());
        (last.colour, last.live) = (Colour::Green, Some(Colour::Blue));
        last.release.policy.retain.releases = 1;
        last.before.swarm.insert(Colour::Blue, Some(made_by("first")));
        let found = |blue| {
            let mut there = colours(&Colour::BOTH);
            there.insert(Colour::Blue, blue);
            spare(&live(Colour::Green), &BTreeSet::new(), Some(&last), &there)
        };
        assert_eq!(found(made_by("first")), Some(Spare::Kept(Colour::Blue)));
        assert_eq!(found(made_by("later")), Some(Spare::Unowned(Colour::Blue)));
    }

    #[tokio::test(start_paused = true)]
    async fn not_everything_goes_at_once() {
        let mut allowance = Allowance::default();
        for _ in 0..MOST {
            allowance.take(Instant::now()).unwrap();
        }
        assert!(allowance.take(Instant::now()).unwrap_err().contains("limit"));
        tokio::time::sleep(WITHIN).await;
        allowance.take(Instant::now()).unwrap();
    }
}
