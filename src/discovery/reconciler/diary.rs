//! What was found, for whoever asks for the status: what stands, and what was mended lately.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use super::lock;
use crate::deploy::ports::{Clock, PortError};
use crate::model::{Mended, ServiceName};

/// At most so many mended findings of a service are kept …
const KEPT: usize = 20;

/// … and shown for so long: then they are the log's.
const SHOWN: SignedDuration = SignedDuration::from_hours(1);

/// What of a service is looked at by itself in every look, and stands until it is found well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Matter {
    /// Whether the live colour runs.
    Running,
    /// Whether it is what was committed.
    Edited,
    /// What becomes of the colour beside it.
    Spare,
}

/// The findings of each service, and what keeps the reconciler from looking.
pub(super) struct Diary {
    clock: Arc<dyn Clock>,
    pages: Mutex<BTreeMap<ServiceName, Page>>,
    problem: Mutex<Option<String>>,
    troubles: Mutex<BTreeMap<ServiceName, String>>,
}

/// The findings of one service.
#[derive(Default)]
struct Page {
    /// With the instant since when.
    standing: BTreeMap<Matter, (Timestamp, String)>,
    mended: VecDeque<Mended>,
}

impl Page {
    /// The same thing again takes the place of the last time, if nothing else came between.
    fn mend(&mut self, at: Timestamp, what: String) {
        if self.mended.back().is_some_and(|last| last.what == what) {
            self.mended.pop_back();
        }
        if self.mended.len() == KEPT {
            self.mended.pop_front();
        }
        self.mended.push_back(Mended { at, what });
    }
}

impl Diary {
    /// An empty one, by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            pages: Mutex::default(),
            problem: Mutex::default(),
            troubles: Mutex::default(),
        }
    }

    /// What is not as it should be of `service`, each with the instant since when; empty when all is well.
    pub fn drift(&self, service: &ServiceName) -> Vec<String> {
        let pages = lock(&self.pages);
        let standing = pages.get(service).into_iter().flat_map(|page| page.standing.values());
        standing.map(|(since, line)| format!("{since:.0} {line}")).collect()
    }

    /// What was not as it should be of `service` within the last hour, and is again; newest last.
    pub fn mended(&self, service: &ServiceName) -> Vec<Mended> {
        let now = self.clock.now();
        let pages = lock(&self.pages);
        let mended = pages.get(service).into_iter().flat_map(|page| page.mended.iter());
        mended.filter(|mended| now.duration_since(mended.at) < SHOWN).cloned().collect()
    }

    /// Why not everything could be seen, or mended.
    pub fn problem(&self) -> Option<String> {
        let problem = lock(&self.problem).clone();
        problem.or_else(|| lock(&self.troubles).values().next().cloned())
    }

    /// Why not everything can be seen; none when it can.
    pub fn set_problem(&self, problem: Option<String>) {
        *lock(&self.problem) = problem;
    }

    /// What kept `service` from being looked after, until the next look at it.
    pub fn trouble(&self, service: &ServiceName, error: Option<&PortError>) {
        let mut troubles = lock(&self.troubles);
        if let Some(error) = error {
            tracing::warn!(%service, error = error.chain(), "cannot look after it");
            troubles.insert(service.clone(), error.chain());
        } else {
            troubles.remove(service);
        }
    }

    /// Of services that are not there any more there is no trouble.
    pub fn keep_troubles(&self, is_there: impl Fn(&ServiceName) -> bool) {
        lock(&self.troubles).retain(|service, _| is_there(service));
    }

    /// `matter` of `service` was found to stand so already.
    pub fn says(&self, service: &ServiceName, matter: Matter, line: Option<&str>) -> bool {
        let pages = lock(&self.pages);
        let known = pages.get(service).and_then(|page| page.standing.get(&matter));
        known.map(|(_, known)| known.as_str()) == line
    }

    /// Note what was found of `service`, and mended.
    pub fn note(&self, service: &ServiceName, line: &str) {
        tracing::warn!(%service, line, "drift");
        let now = self.clock.now();
        lock(&self.pages).entry(service.clone()).or_default().mend(now, line.to_owned());
    }

    /// Note how `matter` of `service` stands in this look: with a `line`, until a look finds nothing of it.
    pub fn stands(&self, service: &ServiceName, matter: Matter, line: Option<String>) {
        let now = self.clock.now();
        let mut pages = lock(&self.pages);
        let page = pages.entry(service.clone()).or_default();
        let known = page.standing.get(&matter).map(|(_, known)| known);
        if known == line.as_ref() {
            return;
        }
        if let Some(line) = line {
            tracing::warn!(%service, line, "drift");
            page.standing.insert(matter, (now, line));
        } else if let Some((_, line)) = page.standing.remove(&matter) {
            tracing::info!(%service, line, "drift is over");
            page.mend(now, line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that is set.
    struct Set(Mutex<Timestamp>);

    impl Clock for Set {
        fn now(&self) -> Timestamp {
            *lock(&self.0)
        }
    }

    struct Fixture {
        diary: Diary,
        clock: Arc<Set>,
        service: ServiceName,
    }

    impl Fixture {
        fn new() -> Self {
            let clock = Arc::new(Set(Mutex::new(Timestamp::UNIX_EPOCH)));
            let service = "books-ms".parse().unwrap();
            Self { diary: Diary::new(Arc::clone(&clock) as _), clock, service }
        }

        fn wait(&self, minutes: i64) {
            *lock(&self.clock.0) += SignedDuration::from_mins(minutes);
        }

        fn stands(&self, line: Option<&str>) {
            self.diary.stands(&self.service, Matter::Running, line.map(str::to_owned));
        }

        fn drift(&self) -> Vec<String> {
            self.diary.drift(&self.service)
        }

        fn mended(&self) -> Vec<(i64, String)> {
            let mended = self.diary.mended(&self.service).into_iter();
            mended.map(|mended| (mended.at.as_second() / 60, mended.what)).collect()
        }
    }

    #[test]
    fn what_was_mended_is_no_problem_and_is_forgotten_after_an_hour() {
        let diary = Fixture::new();
        diary.diary.note(&diary.service, "a task moved");
        assert_eq!(diary.drift(), Vec::<String>::new());
        diary.wait(30);
        diary.diary.note(&diary.service, "a task moved");
        assert_eq!(diary.mended(), [(30, "a task moved".to_owned())], "the last time counts");
        diary.wait(59);
        assert_eq!(diary.mended().len(), 1);
        diary.wait(1);
        assert_eq!(diary.mended(), []);
    }

    #[test]
    fn what_stands_is_told_with_its_beginning_until_it_is_over() {
        let diary = Fixture::new();
        diary.stands(Some("nothing runs"));
        diary.wait(90);
        diary.stands(Some("nothing runs"));
        assert_eq!(diary.drift(), ["1970-01-01T00:00:00Z nothing runs"]);
        assert_eq!(diary.mended(), []);
        diary.stands(None);
        diary.stands(None);
        assert_eq!(diary.drift(), Vec::<String>::new());
        assert_eq!(diary.mended(), [(90, "nothing runs".to_owned())]);
    }

    #[test]
    fn matters_stand_each_by_itself() {
        let diary = Fixture::new();
        diary.stands(Some("nothing runs"));
        diary.diary.stands(&diary.service, Matter::Spare, None);
        assert_eq!(diary.drift().len(), 1);
    }
}
