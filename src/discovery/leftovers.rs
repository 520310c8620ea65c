//! What is left of deployments that nobody owns any more. Pure, but for the time that passes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::deploy::ports::SwarmSnapshot;
use crate::deploy::record::{Journalled, Prepared, Record};
use crate::model::{Colour, Route, ServiceRecord, labels};

/// At most so many colours are removed …
const MOST: usize = 5;

/// … within this time: whoever finds more is rather mistaken than right.
const WITHIN: Duration = Duration::from_secs(3600);

/// The live colour of a service that no deployment is under way for, if everything agrees on it: record,
/// route, the colours that proxies lead the public to (`led`), and what was committed last, if that is
/// known. Without its Swarm service there, the other may be all that the service has.
#[must_use]
pub fn agreed(
    record: &ServiceRecord,
    led: &BTreeSet<Colour>,
    last: Option<&Prepared>,
    colours: &BTreeMap<Colour, SwarmSnapshot>,
) -> Option<Colour> {
    let live = record.colour?;
    let all = led.iter().all(|colour| *colour == live)
        && record.route.as_ref().and_then(Route::live).is_none_or(|colour| colour == live)
        && last.is_none_or(|last| last.colour == live);
    (all && colours.contains_key(&live)).then_some(live)
}

/// The colour beside `live` that nobody owns: `last`, which was committed last, does not keep it.
#[must_use]
pub fn leftover(
    live: Colour,
    last: Option<&Prepared>,
    colours: &BTreeMap<Colour, SwarmSnapshot>,
) -> Option<Colour> {
    let idle = live.other();
    let owned = last.is_some_and(|last| keeps(last, idle));
    (colours.contains_key(&idle) && !owned).then_some(idle)
}

/// The colour beside `live` that `last` keeps, if what is there is what it found there, and not what
/// somebody else has made of it since.
#[must_use]
pub fn kept(
    live: Colour,
    last: &Prepared,
    colours: &BTreeMap<Colour, SwarmSnapshot>,
) -> Option<Colour> {
    let idle = live.other();
    let maker = |snapshot: &SwarmSnapshot| snapshot.label(labels::DEPLOYMENT).map(str::to_owned);
    let there = colours.get(&idle).and_then(maker)?;
    let then = last.before.swarm.get(&idle).and_then(Option::as_ref).and_then(maker)?;
    (keeps(last, idle) && there == then).then_some(idle)
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

/// `last` keeps `colour` for a rollback.
fn keeps(last: &Prepared, colour: Colour) -> bool {
    last.live == Some(colour) && last.release.policy.retain.releases > 0
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
    use serde_json::Value;

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

    /// Green over blue, which is kept.
    fn keeping() -> Prepared {
        let mut last = fixture::prepared(model::fixture::draft());
        last.release.policy.retain.releases = 1;
        last
    }

    #[test]
    fn the_colour_that_is_not_live_is_left_over() {
        let found = |there: &[Colour]| leftover(Colour::Blue, None, &colours(there));
        assert_eq!(found(&Colour::BOTH), Some(Colour::Green));
        assert_eq!(found(&[Colour::Blue]), None);
        let both = colours(&Colour::BOTH);
        assert_eq!(leftover(Colour::Green, Some(&keeping()), &both), None, "it is kept");
    }

    #[test]
    fn what_is_live_is_agreed_on_by_all() {
        let both = colours(&Colour::BOTH);
        let led = BTreeSet::from([Colour::Blue]);
        let blue = live(Colour::Blue);
        assert_eq!(agreed(&blue, &led, None, &both), Some(Colour::Blue));
        let other = colours(&[Colour::Green]);
        assert_eq!(agreed(&blue, &led, None, &other), None, "it is all that there is");
        let elsewhere = BTreeSet::from([Colour::Green]);
        assert_eq!(agreed(&blue, &elsewhere, None, &both), None);
        assert_eq!(agreed(&ServiceRecord::default(), &BTreeSet::new(), None, &both), None);
        let route = Route {
            generation: 1,
            rule: None,
            weights: BTreeMap::from([(Colour::Green, 100)]),
            releases: BTreeMap::new(),
        };
        let record = ServiceRecord { route: Some(route), ..live(Colour::Blue) };
        assert_eq!(agreed(&record, &led, None, &both), None);
        let last = fixture::prepared(model::fixture::draft());
        assert_eq!(agreed(&blue, &led, Some(&last), &both), None, "green was committed last");
    }

    #[test]
    fn only_what_was_kept_is_what_is_kept() {
        let made_by = |deployment: &str| SwarmSnapshot {
            name: "books".to_owned(),
            spec: serde_json::json!({ "Labels": { labels::DEPLOYMENT: deployment } }),
        };
        let mut last = keeping();
        last.before.swarm.insert(Colour::Blue, Some(made_by("first")));
        let found = |there: SwarmSnapshot| {
            kept(Colour::Green, &last, &BTreeMap::from([(Colour::Blue, there)]))
        };
        assert_eq!(found(made_by("first")), Some(Colour::Blue));
        assert_eq!(found(made_by("another")), None);
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
