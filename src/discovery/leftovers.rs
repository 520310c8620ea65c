//! What is left of deployments that nobody owns any more. Pure, but for the time that passes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::deploy::ports::SwarmSnapshot;
use crate::deploy::record::{Journalled, Prepared, Record};
use crate::model::{Colour, Route, ServiceRecord};

/// At most so many colours are removed …
const MOST: usize = 5;

/// … within this time: whoever finds more is rather mistaken than right.
const WITHIN: Duration = Duration::from_secs(3600);

/// The colour of a service that no deployment is under way for, if nobody owns it: it is neither live
/// nor kept. `led` are the colours that proxies lead the public to, `last` is what was committed last,
/// if that is known. Where these do not agree on what is live, nothing is left over.
#[must_use]
pub fn leftover(
    record: &ServiceRecord,
    led: &BTreeSet<Colour>,
    last: Option<&Prepared>,
    colours: &BTreeMap<Colour, SwarmSnapshot>,
) -> Option<Colour> {
    let live = record.colour?;
    let idle = live.other();
    let agreed = led.iter().all(|colour| *colour == live)
        && record.route.as_ref().and_then(Route::live).is_none_or(|colour| colour == live)
        && last.is_none_or(|last| last.colour == live);
    // Without the live colour there, the other may be all that the service has.
    if !agreed || !colours.contains_key(&idle) || !colours.contains_key(&live) {
        return None;
    }
    (!last.is_some_and(|last| keeps(last, idle))).then_some(idle)
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
    fn the_colour_that_is_not_live_is_left_over() {
        let led = BTreeSet::from([Colour::Blue]);
        let found = |there: &[Colour]| leftover(&live(Colour::Blue), &led, None, &colours(there));
        assert_eq!(found(&Colour::BOTH), Some(Colour::Green));
        assert_eq!(found(&[Colour::Blue]), None);
        assert_eq!(found(&[Colour::Green]), None, "it is all that there is");
    }

    #[test]
    fn nothing_is_left_over_where_it_is_not_clear_what_is_live() {
        let both = colours(&Colour::BOTH);
        let led = BTreeSet::from([Colour::Green]);
        assert_eq!(leftover(&live(Colour::Blue), &led, None, &both), None);
        let led = BTreeSet::new();
        assert_eq!(leftover(&ServiceRecord::default(), &led, None, &both), None);
        let route = Route {
            generation: 1,
            rule: None,
            weights: BTreeMap::from([(Colour::Green, 100)]),
            releases: BTreeMap::new(),
        };
        let record = ServiceRecord { route: Some(route), ..live(Colour::Blue) };
        assert_eq!(leftover(&record, &led, None, &both), None);
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
